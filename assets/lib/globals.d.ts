/** What Dash, its grid and its charts put into the window, as far as we speak to it; and what we put there for them. */

/** How Dash names a component: a text, or an object for one of several. */
type DashId = string | Record<string, string | number>;

interface DashClientside {
  no_update: unknown;
  set_props(id: DashId, props: Record<string, unknown>): void;
  [namespace: string]: unknown;
}

interface GridColumn {
  getColId(): string;
  isVisible(): boolean;
  getColDef(): { field: string; headerName: string };
}

interface GridApi {
  isAnyFilterPresent(): boolean;
  getDisplayedRowCount(): number;
  setFilterModel(model: null): void;
  setColumnsVisible(ids: string[], visible: boolean): void;
  getColumns(): GridColumn[];
  getAllDisplayedColumns(): GridColumn[];
  getRowNode(id: string): { data: import("./requests/types").RequestRow } | undefined;
  forEachNodeAfterFilterAndSort(act: (node: { data: import("./requests/types").RequestRow }) => void): void;
}

interface Window {
  dash_clientside: DashClientside;
  dash_ag_grid: { getApi(id: string): GridApi };
  Plotly?: { relayout(graph: HTMLElement, changes: Record<string, unknown>): void };
  dashAgGridFunctions?: Record<string, (...given: never[]) => unknown>;
  wfmon: {
    store: import("./series/store.mjs").Store;
    mount(path?: string): void;
    unmount(): void;
    debug(options?: { reset?: boolean }): Record<string, unknown>;
  };
}
