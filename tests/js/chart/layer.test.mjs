import assert from "node:assert/strict";
import test from "node:test";
import { Layer, curveAt, rgbOf } from "../../../assets/lib/chart/layer.mjs";

const flat = (y) => Float32Array.from({ length: 6 }, () => y);
const ones = Float32Array.from({ length: 10 }, () => 1);
const column = (layer, x) => Array.from({ length: layer.height }, (_, y) => layer.opacityAt(x, y));

test("a colour is kept in the order of a pixel's bytes", () => {
  assert.equal(rgbOf("#123456"), 0x563412);
});

test("a band is as wide as asked, its edges soft by the part of a pixel that they cover", () => {
  const layer = new Layer(10, 12);
  layer.band(flat(6), 4, 2.5, rgbOf("#ff8000"), ones, 1);
  assert.deepEqual(column(layer, 3), [0, 0, 0, 128, 255, 255, 255, 255, 128, 0, 0, 0]);
  assert.equal(layer.pixels[4 * 10 + 3] & 0xffffff, rgbOf("#ff8000"));
  assert.equal(column(layer, 3).reduce((sum, each) => sum + each, 0) / 255, 5 + 1 / 255);
});

test("a band is as strong as the column's level times its strength", () => {
  const layer = new Layer(10, 8);
  layer.band(flat(4), 4, 2, 0, Float32Array.from({ length: 10 }, (_, x) => x / 10), 0.5);
  assert.deepEqual([layer.opacityAt(0, 4), layer.opacityAt(4, 4), layer.opacityAt(8, 4)], [0, 51, 102]);
});

test("a band that leaves the picture is cut", () => {
  const layer = new Layer(10, 4);
  layer.band(flat(0), 4, 2, 0, ones, 1);
  assert.deepEqual(column(layer, 5), [255, 255, 0, 0]);
  layer.clear();
  layer.band(flat(5), 4, 2, 0, ones, 1);
  assert.deepEqual(column(layer, 5), [0, 0, 0, 255]);
  layer.clear();
  layer.band(flat(50), 4, 2, 0, ones, 1);
  assert.ok(layer.pixels.every((each) => each === 0));
});

test("a particle lies over what is there, and within the picture", () => {
  const layer = new Layer(10, 10);
  layer.band(flat(5), 4, 5, 7, ones, 0.5);
  layer.dot(3, 3, 2, 7, 0.5);
  assert.deepEqual([layer.opacityAt(2, 3), layer.opacityAt(3, 3), layer.opacityAt(4, 4), layer.opacityAt(5, 4)], [128, 192, 192, 128]);
  layer.clear();
  layer.dot(-1, -1, 2, 7, 1);
  layer.dot(9, 9, 3, 7, 1);
  assert.equal(layer.pixels.filter((each) => each !== 0).length, 2);
});

test("a curve is read between its points", () => {
  assert.equal(curveAt(Float32Array.of(0, 10, 30), 4, 2), 5);
  assert.equal(curveAt(Float32Array.of(0, 10, 30), 4, 8), 30);
});
