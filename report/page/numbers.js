// The document of the page, its arrays, and numbers as people read them.
const DATA = JSON.parse(document.getElementById("data").textContent);
const BYTES = Uint8Array.from(atob(DATA.store), (letter) => letter.charCodeAt(0)).buffer;
const ARRAYS = { f8: Float64Array, f4: Float32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

// An array of the store: where it begins, how many numbers, of which kind.
function array(place) {
  const [start, count, kind] = place;
  return new ARRAYS[kind](BYTES, start, count);
}

// JSON has no ∞ and no NaN: they stand as words.
function number(value) {
  return value === null || value === undefined ? NaN : Number(value);
}

// A number in so many significant digits, without zeros at the end: 0.00123, 1.2e-05, ∞.
function shown(value, digits = 6) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value) || Math.abs(value) >= 1e300) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= digits) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return trimmed(mantissa) + "e" + (exponent < 0 ? "-" : "+") + size;
  }
  return trimmed(value.toFixed(digits - 1 - exponent));
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

function thousands(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
