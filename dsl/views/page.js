"use strict";
(() => {
  const all = [...document.querySelectorAll("[data-step]")];
  const buttons = [...document.querySelectorAll("nav button")];
  const said = document.getElementById("said");
  const names = JSON.parse(document.getElementById("steps").textContent);
  let pinned = [];

  const stepsOf = (element) => (element ? element.dataset.step.split(" ") : []);
  const show = (steps) => {
    for (const each of all) {
      each.classList.toggle("on", stepsOf(each).some((step) => steps.includes(step)));
    }
  };
  const near = (target) => (target instanceof Element ? target.closest("[data-step]") : null);
  const tell = (steps) => {
    said.textContent = steps.map((step) => names[step]).join("; ");
  };

  document.addEventListener("pointerover", (event) => {
    const found = near(event.target);
    show(found ? stepsOf(found) : pinned);
  });
  document.documentElement.addEventListener("pointerleave", () => show(pinned));
  document.addEventListener("focusin", (event) => {
    const found = near(event.target);
    if (found) {
      show(stepsOf(found));
      tell(stepsOf(found));
    }
  });
  document.addEventListener("focusout", () => show(pinned));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && pinned.length) {
      pin([]);
    }
  });
  const pin = (steps) => {
    pinned = steps;
    for (const each of buttons) {
      each.setAttribute("aria-pressed", String(pinned.includes(each.dataset.step)));
    }
    show(pinned);
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const step = button.dataset.step;
      const off = pinned.includes(step);
      pin(off ? [] : [step]);
      const section = document.getElementById(`derive-${step}`);
      if (!off && section) {
        section.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      }
    });
  }

  const data = document.getElementById("panel");
  if (!data) {
    return;
  }
  const panel = JSON.parse(data.textContent);
  const entry = document.getElementById("entry");
  const nudge = document.getElementById("nudge");
  const chart = document.getElementById("chart");
  const [left, right, top, bottom] = [64, 14, 14, 34];
  const digits = (value) => (value === 0 ? "0" : Number(value.toPrecision(4)).toString());
  const put = (id, text) => {
    document.getElementById(id).textContent = text;
  };

  const draw = () => {
    // on a narrow page fewer units, so that the texts stay as large
    const [wide, high] = chart.clientWidth < 480 ? [360, 230] : [640, 300];
    chart.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    const curve = panel.curves[Number(entry.value)];
    const at = Number(nudge.value);
    const { offsets, outputs, slope } = curve;
    const middle = (offsets.length - 1) / 2;
    const tangent = offsets.map((offset) => outputs[middle] + slope * offset);
    const low = Math.min(...outputs, ...tangent);
    const span = Math.max(...outputs, ...tangent) - low || 1;
    const x = (i) => left + ((wide - left - right) * i) / (offsets.length - 1);
    const y = (value) => top + (high - top - bottom) * (1 - (value - low) / span);
    const points = outputs.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const line = (cls, x1, y1, x2, y2) => `<line class="${cls}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
    const last = offsets.length - 1;
    chart.innerHTML = [
      line("axis", left, y(low), wide - right, y(low)),
      line("axis", left, y(low + span), wide - right, y(low + span)),
      line("axis", x(middle), top, x(middle), high - bottom),
      line("tangent", x(0), y(tangent[0]), x(last), y(tangent[last])),
      `<polyline class="curve" points="${points}"/>`,
      line("gap", x(at), y(outputs[at]), x(at), y(tangent[at])),
      `<circle class="on-tangent" cx="${x(at)}" cy="${y(tangent[at])}" r="5"/>`,
      `<circle class="at" cx="${x(at)}" cy="${y(outputs[at])}" r="5.5"/>`,
      `<text x="${left - 8}" y="${y(low) + 4}" text-anchor="end">${digits(low)}</text>`,
      `<text x="${left - 8}" y="${y(low + span) + 4}" text-anchor="end">${digits(low + span)}</text>`,
      `<text x="${x(0)}" y="${high - 10}">${digits(curve.value + offsets[0])}</text>`,
      `<text x="${x(middle)}" y="${high - 10}" text-anchor="middle">${curve.name} = ${digits(curve.value)}</text>`,
      `<text x="${x(last)}" y="${high - 10}" text-anchor="end">${digits(curve.value + offsets[last])}</text>`,
    ].join("");
    put("nudged", `${offsets[at] < 0 ? "−" : "+"}${digits(Math.abs(offsets[at]))}`);
    put("true", digits(outputs[at]));
    put("linear", digits(tangent[at]));
    put("slope", curve.slope.toFixed(6));
    put("measured", curve.nudged.toFixed(6));
    nudge.setAttribute("aria-valuetext", `${curve.name} moved by ${digits(offsets[at])}: ${digits(outputs[at])}, by the tangent ${digits(tangent[at])}`);
    chart.setAttribute("aria-label", `${panel.output} against ${curve.name}: slope ${digits(curve.slope)}`);
  };
  entry.addEventListener("change", draw);
  nudge.addEventListener("input", draw);
  addEventListener("resize", draw);
  draw();
})();
