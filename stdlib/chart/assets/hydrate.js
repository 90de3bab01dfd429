// Turns static charts live. Defines window.banterCharts with add({id, option}): each element whose data-banter-chart is id
// shows its static picture until ECharts is there, and then the chart in its place. `load` gives ECharts' source.
(function (load) {
  "use strict";
  var w = window, waiting = w.banterCharts;
  if (waiting && waiting.live) return;

  w.banterECharts = w.banterECharts || load().then(function (source) {
    var module = { exports: {} };
    // Neither an AMD loader nor a global of the page may see the library.
    new Function("module", "exports", "define", source)(module, module.exports, undefined);
    return module.exports;
  });

  function isDark() {
    var jp = document.body.getAttribute("data-jp-theme-light");
    if (jp !== null) return jp === "false";
    return !!(w.matchMedia && w.matchMedia("(prefers-color-scheme: dark)").matches);
  }

  function number(v) {
    if (typeof v !== "number" || !isFinite(v)) return String(v);
    return v.toLocaleString("en", { maximumSignificantDigits: 4 }).replace(/,/g, "\u202f").replace("-", "\u2212");
  }

  var formats = {
    number: number,
    percent: function (v) { return number(v * 100) + "\u202f%"; },
    clock: function (v) {
      var s = Math.abs(Math.round(v)), two = function (n) { return (n < 10 ? "0" : "") + n; };
      var text = s >= 3600 ? Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60) : Math.floor(s / 60) + ":" + two(s % 60);
      return (v < 0 ? "\u2212" : "") + text;
    }
  };

  // Draws [x, x, y0, y1], the bar of a category, with its name above it.
  function named(data, ink) {
    return function (params, api) {
      var y0 = api.value(2), y1 = api.value(3), half = api.size([1, 0])[0] * 0.38, name = data[params.dataIndex].name;
      var top = api.coord([api.value(0), Math.max(y0, y1)]), bottom = api.coord([api.value(0), Math.min(y0, y1)]);
      var children = [];
      if (y0 !== y1) children.push({ type: "rect", shape: { x: top[0] - half, y: top[1], width: 2 * half, height: Math.max(bottom[1] - top[1], 1) },
        style: { fill: api.visual("color"), opacity: 0.92 } });
      if (name) children.push({ type: "text", silent: true, style: { text: name, x: top[0], y: top[1] - 4, align: "center", verticalAlign: "bottom", fill: ink, fontSize: 12 } });
      return { type: "group", children: children };
    };
  }

  // Draws [x0, x1, y0, y1]: a bar, or a span on a track (y0 = y1).
  function box(params, api) {
    var x0 = api.value(0), x1 = api.value(1), y0 = api.value(2), y1 = api.value(3);
    var a = api.coord([x0, y1]), b = api.coord([x1, y0]);
    if (y0 === y1) { var thick = Math.min(api.size([0, 1])[1] * 0.34, 13); a[1] -= thick; b[1] += thick; }
    var clip = params.coordSys, left = Math.max(a[0], clip.x), right = Math.min(b[0], clip.x + clip.width);
    if (right < left) return;
    var gap = right - left > 6 && y0 !== y1 ? 1 : 0;
    return { type: "rect", shape: { x: left + gap, y: Math.min(a[1], b[1]), width: Math.max(right - left - 2 * gap, 1), height: Math.abs(b[1] - a[1]) },
      style: { fill: api.visual("color"), opacity: 0.92 } };
  }

  // Draws all of [[x, low, high], ...] as one area, once for the whole series.
  function area(data, steps) {
    return function (params, api) {
      if (params.dataIndexInside !== 0) return;
      var over = [], under = [];
      data.forEach(function (d, i) {
        if (steps && i > 0) { over.push(api.coord([d[0], data[i - 1][2]])); under.push(api.coord([d[0], data[i - 1][1]])); }
        over.push(api.coord([d[0], d[2]]));
        under.push(api.coord([d[0], d[1]]));
      });
      return { type: "polygon", shape: { points: over.concat(under.reverse()) }, silent: true, style: { fill: api.visual("color"), opacity: 0.18 } };
    };
  }

  function prepare(option, dark) {
    var recolor = dark && option.banter && option.banter.dark || {};
    option = JSON.parse(JSON.stringify(option), function (key, value) {
      return key === "color" && Object.prototype.hasOwnProperty.call(recolor, value) ? recolor[value] : value;
    });
    var hints = option.banter || { x: {}, y: {} }, fx = formats[hints.x.unit] || number, fy = formats[hints.y.unit] || number;
    delete option.banter;
    var ink = dark ? "#e6edf3" : "#1c2430", muted = dark ? "#9aa7b5" : "#5b6675", grid = dark ? "#2a313b" : "#e6e9ee";
    option.backgroundColor = "transparent";
    option.title = [].concat(option.title || []);
    option.title.forEach(function (t) { t.textStyle = { color: ink, fontSize: 15, fontWeight: 600 }; t.subtextStyle = { color: muted }; });
    Object.assign(option.legend, { textStyle: { color: muted }, icon: "roundRect", itemWidth: 16, itemHeight: 4 });
    option.legend.data = option.series.filter(function (s) { return !/ interval$/.test(s.name || ""); }).map(function (s) { return s.name; });
    [["xAxis", fx, hints.x], ["yAxis", fy, hints.y]].forEach(function (pair) {
      [].concat(option[pair[0]] || []).forEach(function (axis) {
        axis.nameTextStyle = { color: muted };
        axis.axisLabel = { color: muted, hideOverlap: true };
        if (axis.type !== "category") axis.axisLabel.formatter = pair[1];
        else if (pair[0] === "xAxis") { axis.axisLabel.interval = 0; axis.axisLabel.width = 90; axis.axisLabel.overflow = "break"; axis.axisLabel.lineHeight = 14; }
        if (pair[2].step) {
          if (!pair[2].loose[0]) axis.interval = pair[2].step; // ECharts counts steps from the axis's end
          if (pair[2].loose[0]) axis.axisLabel.showMinLabel = false;
          if (pair[2].loose[1]) axis.axisLabel.showMaxLabel = false;
        }
        axis.axisLine = { show: pair[0] === "xAxis", lineStyle: { color: muted } };
        axis.axisTick = { show: pair[0] === "xAxis" && !(pair[2].loose && pair[2].loose[0]) };
        axis.splitLine = { show: pair[0] === "yAxis" && axis.type !== "category", lineStyle: { color: grid } };
      });
    });
    // Tips are drawn as text, never as markup: names come from chat.
    option.tooltip.renderMode = "richText";
    option.tooltip.confine = true;
    option.tooltip.formatter = function (p) {
      var v = Array.isArray(p.value) ? p.value : [p.value];
      if (v.length === 4) return (p.name ? p.name + "\n" : "") + (v[2] === v[3] ? fx(v[0]) + " \u2013 " + fx(v[1]) : fx(v[0]) + ": " + fy(v[3]));
      return (p.name || p.seriesName || "") + "\n" + fx(v[0]) + ": " + fy(v[1]);
    };
    option.series.forEach(function (s) {
      if (s.markLine) s.markLine.data.forEach(function (m) { Object.assign(m.label, { color: muted, textBorderWidth: 0 }); });
      if (s.type !== "custom") return;
      var interval = / interval$/.test(s.name || "");
      var categories = !interval && [].concat(option.xAxis)[0].type === "category";
      s.renderItem = interval ? area(s.data, s.step) : categories ? named(s.data, ink) : box;
      s.silent = interval;
      s.clip = !categories; // a name may stand above the highest tick
    });
    return option;
  }

  function show(host, option) {
    if (host.getAttribute("data-live")) return;
    host.setAttribute("data-live", "1");
    w.banterECharts.then(function (echarts) {
      var picture = host.querySelector("img");
      var stage = document.createElement("div");
      stage.style.width = "100%";
      stage.style.height = (host.getAttribute("data-height") || 340) + "px";
      host.appendChild(stage);
      var chart, dark;
      // Where the stage is not laid out, as notebooks do with cells out of sight, it is drawn when it comes into sight.
      function draw() {
        if (!stage.clientWidth) return;
        if (chart && dark === isDark()) {
          if (chart.getWidth() !== stage.clientWidth) chart.resize();
          return;
        }
        dark = isDark();
        if (chart) chart.dispose();
        chart = echarts.init(stage, null, { renderer: "svg" });
        chart.setOption(prepare(option, dark));
        if (picture) picture.style.display = "none";
      }
      draw();
      // A notebook that changes its theme may lay nothing out for a moment.
      new MutationObserver(function () { draw(); w.setTimeout(draw, 300); }).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
      if (w.ResizeObserver) new ResizeObserver(draw).observe(stage);
      if (w.IntersectionObserver) new IntersectionObserver(draw).observe(stage);
    }).catch(function () { host.removeAttribute("data-live"); }); // the picture stays
  }

  function add(entry) {
    document.querySelectorAll('[data-banter-chart="' + entry.id + '"]').forEach(function (host) { show(host, entry.option); });
  }

  w.banterCharts = { live: true, add: add };
  if (waiting) waiting.queue.forEach(add);
})
