/**
 * The user's time zone: its name, and its offset from UTC at an instant (daylight saving time changes it).
 *
 * Every local time on the page uses the offset at its own instant, never the current one.
 */

/**
 * Minutes east of UTC at `ms`.
 * @param {number} ms
 */
export const eastAt = (ms) => -new Date(ms).getTimezoneOffset();

/** The zone's name in the IANA database, such as "Europe/Berlin"; the monitor reads the same names. */
export const zoneName = () => new Intl.DateTimeFormat().resolvedOptions().timeZone;
