// Replaces the static pictures of one Explore by a chart whose threshold can be dragged. Counts and sample pairs follow in
// the page; the kernel is told of the choice over a comm. All text is set as text, never as markup.
function (w, d, data) {
  "use strict";
  var edges = data.edges, edge = data.edge, kept = [], wrong = [], bins = [], i, j;
  for (i = 0; i <= edges; i++) { kept.push(0); wrong.push(0); bins.push(0); }
  data.streams.forEach(function (s) {
    s.kept = new Array(edges + 1).fill(0);
    for (i = edges - 1; i >= 0; i--) s.kept[i] = s.kept[i + 1] + s.count[i];
    for (i = 0; i <= edges; i++) { kept[i] += s.kept[i]; wrong[i] += s.kept[i] * s.rate[i]; }
    for (i = 0; i < edges; i++) bins[i] += s.count[i];
  });

  // Where the page is loaded anew while its kernel still runs, the kernel knows the last choice, and so does the session.
  var memory = "banter:" + data.kernel + ":" + data.address;
  try { var seen = parseInt(w.sessionStorage.getItem(memory), 10); if (data.kernel && seen >= 0 && seen <= edges) edge = seen; } catch (e) { /* not allowed: as it was */ }

  function number(v) { return String(v).replace(/\B(?=(\d{3})+$)/g, "\u202f"); }
  function percent(v) { return (100 * v).toFixed(v > 0 && v < 0.0995 ? 1 : 0) + "\u202f%"; }
  function clock(v) {
    var s = Math.floor(v), two = function (n) { return (n < 10 ? "0" : "") + n; };
    return s >= 3600 ? Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60) : Math.floor(s / 60) + ":" + two(s % 60);
  }
  function level(at) { return String(Math.round(at / edges * 1000) / 1000); }

  // el makes an element with attributes and children; strings become text.
  function el(name, attributes) {
    var svg = /^(svg|g|rect|path|line|text|circle|title)$/.test(name);
    var e = svg ? d.createElementNS("http://www.w3.org/2000/svg", name) : d.createElement(name);
    for (var k in attributes) e.setAttribute(k, attributes[k]);
    for (var n = 2; n < arguments.length; n++) e.append(arguments[n]);
    return e;
  }

  var W = 820, H = 300, L = 52, R = 52, T = 18, B = 44, width = W - L - R, height = H - T - B;
  var bars = 100, each = edges / bars, tall = 1, counts = [];
  for (i = 0; i < bars; i++) {
    var n = 0;
    for (j = 0; j < each; j++) n += bins[i * each + j];
    counts.push(n);
    tall = Math.max(tall, n);
  }
  function x(at) { return L + width * at / edges; }
  // Most pairs are unlikely ones: heights are of square roots, so that the others are seen beside them.
  function y(n) { return T + height * (1 - Math.sqrt(n / tall)); }
  function yRate(r) { return T + height * (1 - r); }

  function build(host) {
    if (host.getAttribute("data-live")) return;
    host.setAttribute("data-live", "1");
    host.setAttribute("data-lm-suppress-shortcuts", "true");
    var ink = "var(--jp-ui-font-color1, CanvasText)", muted = "var(--jp-ui-font-color2, GrayText)", rule = "var(--jp-border-color2, #8884)";
    var blue = "var(--banter-kept, #2f6fdf)", amber = "var(--banter-rate, #d9730d)", red = "var(--banter-mark, #d1345b)";
    var root = el("div", { style: "color:" + ink + ";font:13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif);max-width:860px" });
    var svg = el("svg", { viewBox: "0 0 " + W + " " + H, style: "width:100%;height:auto;touch-action:none;cursor:ew-resize;user-select:none;display:block", "data-banter-stage": "" });
    var rects = counts.map(function (n, k) {
      var r = el("rect", { x: x(k * each) + 0.75, width: Math.max(1, width / bars - 1.5), y: y(n), height: T + height - y(n) });
      r.append(el("title", {}, level(k * each) + " to " + level((k + 1) * each) + ": " + number(n) + " pairs"));
      svg.append(r);
      return r;
    });
    [0, 0.25, 0.5, 0.75, 1].forEach(function (r) {
      svg.append(el("line", { x1: L, x2: W - R, y1: yRate(r), y2: yRate(r), stroke: rule, "stroke-width": 1, opacity: r ? 0.5 : 1 }));
      svg.append(el("text", { x: W - R + 6, y: yRate(r) + 4, fill: amber, "font-size": 11 }, percent(r)));
      if (r) svg.append(el("text", { x: L - 6, y: yRate(r) + 4, fill: muted, "font-size": 11, "text-anchor": "end" }, number(Math.round(tall * r * r))));
      svg.append(el("text", { x: x(r * edges), y: H - B + 16, fill: muted, "font-size": 11, "text-anchor": "middle" }, String(r)));
    });
    svg.append(el("text", { x: L + width / 2, y: H - 8, fill: muted, "font-size": 12, "text-anchor": "middle" }, "confidence"));
    svg.append(el("text", { x: L, y: T - 6, fill: muted, "font-size": 11 }, "pairs (square-root scale)"));
    svg.append(el("text", { x: W - R, y: T - 6, fill: amber, "font-size": 11, "text-anchor": "end" }, "false discovery rate among the pairs kept"));
    var path = "";
    for (i = 0; i <= edges; i++) if (kept[i]) path += (path ? "L" : "M") + x(i).toFixed(1) + " " + yRate(wrong[i] / kept[i]).toFixed(1);
    if (path) svg.append(el("path", { d: path, fill: "none", stroke: amber, "stroke-width": 2 }));
    var line = el("line", { y1: T, y2: T + height, stroke: red, "stroke-width": 2 });
    var dot = el("circle", { r: 4, fill: amber });
    var knob = el("g", { tabindex: 0, role: "slider", "aria-label": "threshold of confidence", "aria-valuemin": 0, "aria-valuemax": 1, style: "outline-offset:2px" },
      el("rect", { x: -7, y: T + height - 13, width: 14, height: 26, rx: 5, fill: red }),
      el("line", { x1: -2, x2: -2, y1: T + height - 6, y2: T + height + 6, stroke: "#fff", opacity: 0.8 }),
      el("line", { x1: 2, x2: 2, y1: T + height - 6, y2: T + height + 6, stroke: "#fff", opacity: 0.8 }));
    svg.append(line, dot, knob);

    var facts = el("div", { style: "display:flex;flex-wrap:wrap;gap:6px 28px;margin:8px 0 2px", "aria-live": "polite" });
    function fact(name, tone) {
      var value = el("strong", { style: "display:block;font-size:19px;font-weight:600;font-variant-numeric:tabular-nums;color:" + tone });
      facts.append(el("div", {}, value, el("span", { style: "color:" + muted + ";font-size:12px" }, name)));
      return value;
    }
    var factLevel = fact("confidence at least", red), factKept = fact("pairs kept of " + number(data.total), blue), factWrong = fact("of them expected to be wrong", amber), factRate = fact("false discovery rate", amber);
    var streams = el("div", { style: "display:flex;flex-wrap:wrap;gap:2px 18px;font-size:12px;color:" + muted + ";margin:4px 0" });
    var perStream = data.streams.map(function (s) {
      var v = el("b", { style: "font-weight:600;font-variant-numeric:tabular-nums;color:" + ink });
      streams.append(el("span", {}, el("bdi", {}, s.name), " ", v));
      return v;
    });
    var told = el("div", { style: "font-size:12px;color:" + muted + ";margin:4px 0 8px", "data-banter-told": "" });
    var samples = el("div", { style: "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:4px 24px" });
    function list(title) {
      var body = el("div", {});
      samples.append(el("section", {}, el("div", { style: "font-weight:600;border-bottom:1px solid " + rule + ";padding:3px 0" }, title), body));
      return body;
    }
    var above = list("Just kept"), below = list("Just dropped");
    root.append(svg, facts, streams, told, samples);

    function rows(body, chosen) {
      body.replaceChildren();
      if (!chosen.length) body.append(el("p", { style: "color:" + muted }, "none"));
      chosen.forEach(function (s) {
        body.append(el("div", { style: "padding:5px 0;border-bottom:1px solid " + rule + ";overflow-wrap:anywhere" },
          el("div", { style: "font-size:11px;color:" + muted }, el("bdi", {}, s.stream), " at " + clock(s.at) + " \u00b7 confidence " + s.confidence.toFixed(3) + " \u00b7 FDR " + s.fdr.toFixed(3)),
          el("div", {}, el("bdi", {}, s.speech)),
          el("div", { style: "padding-left:12px;border-left:3px solid " + rule }, el("bdi", {}, s.response))));
      });
    }

    function draw() {
      rects.forEach(function (r, k) {
        var full = k * each >= edge;
        r.setAttribute("fill", full ? blue : muted);
        r.setAttribute("opacity", full ? 0.9 : 0.45);
      });
      var at = x(edge), rate = kept[edge] ? wrong[edge] / kept[edge] : 0;
      line.setAttribute("x1", at); line.setAttribute("x2", at);
      knob.setAttribute("transform", "translate(" + at + " 0)");
      dot.setAttribute("cx", at); dot.setAttribute("cy", yRate(rate)); dot.setAttribute("visibility", kept[edge] ? "visible" : "hidden");
      knob.setAttribute("aria-valuenow", level(edge));
      knob.setAttribute("aria-valuetext", level(edge) + ": " + kept[edge] + " pairs kept, " + Math.round(wrong[edge]) + " of them expected to be wrong");
      factLevel.textContent = level(edge);
      factKept.textContent = number(kept[edge]);
      factWrong.textContent = "\u2248\u202f" + number(Math.round(wrong[edge]));
      factRate.textContent = kept[edge] ? percent(rate) : "\u2013";
      perStream.forEach(function (v, k) { v.textContent = number(data.streams[k].kept[edge]); });
      var over = [], under = [];
      data.samples.forEach(function (s) { if (s.bin >= edge) { if (over.length < 4) over.push(s); } else { under.push(s); if (under.length > 4) under.shift(); } });
      rows(above, over);
      rows(below, under.reverse());
    }

    function choose(to, quiet) {
      to = Math.max(0, Math.min(edges, Math.round(to)));
      if (to === edge) return;
      edge = to;
      draw();
      try { w.sessionStorage.setItem(memory, String(edge)); } catch (e) { /* not allowed: forgotten on reload */ }
      tell(told);
    }
    function drag(e) {
      var box = svg.getBoundingClientRect();
      choose(((e.clientX - box.left) / box.width * W - L) / width * edges);
    }
    svg.addEventListener("pointerdown", function (e) {
      if (e.button) return;
      svg.setPointerCapture(e.pointerId);
      knob.focus({ preventScroll: true });
      e.preventDefault();
      drag(e);
    });
    svg.addEventListener("pointermove", function (e) { if (svg.hasPointerCapture(e.pointerId)) drag(e); });
    knob.addEventListener("keydown", function (e) {
      var step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -edges, End: edges }[e.key];
      if (!step) return;
      e.preventDefault();
      e.stopPropagation();
      choose(edge + step);
    });

    function theme() {
      var light = d.body.getAttribute("data-jp-theme-light");
      var dark = light !== null ? light === "false" : w.matchMedia && w.matchMedia("(prefers-color-scheme: dark)").matches;
      root.style.setProperty("--banter-kept", dark ? "#6ea8fe" : "#2f6fdf");
      root.style.setProperty("--banter-rate", dark ? "#f0a35e" : "#c2630b");
      root.style.setProperty("--banter-mark", dark ? "#ff6b8b" : "#d1345b");
    }
    theme();
    new MutationObserver(theme).observe(d.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    draw();
    told.textContent = data.kernel ? "Drag the line, or move it with the arrow keys: later cells see the choice." : "Drag the line, or move it with the arrow keys.";
    host.replaceChildren(root);
  }

  // The line to the kernel: a comm, over the socket that Jupyter's server has for pages of its own.
  var socket, waiting = false, opened = false, session = id(), last;
  function id() { return Array.from(w.crypto.getRandomValues(new Uint8Array(16)), function (b) { return (b < 16 ? "0" : "") + b.toString(16); }).join(""); }
  var comm = id();

  function address() {
    var config = d.getElementById("jupyter-config-data");
    if (!config || !data.kernel) return "";
    config = JSON.parse(config.textContent);
    var base = new URL(config.baseUrl || "/", w.location.href);
    base.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    var url = base.href.replace(/\/?$/, "/") + "api/kernels/" + encodeURIComponent(data.kernel) + "/channels?session_id=" + session;
    return config.token ? url + "&token=" + encodeURIComponent(config.token) : url;
  }

  function send() {
    waiting = false;
    var type = opened ? "comm_msg" : "comm_open", content = { comm_id: comm, data: { edge: edge } };
    if (!opened) content.target_name = data.address;
    opened = true;
    last = id();
    socket.send(JSON.stringify({ channel: "shell", header: { msg_id: last, username: "", session: session, date: new Date().toISOString(), msg_type: type, version: "5.3" },
      parent_header: {}, metadata: {}, content: content, buffers: [] }));
  }

  // tell brings the choice to the kernel, at most some twenty times a second.
  function tell(told) {
    var lost = "The kernel that made this is gone: run the cell again, and later cells see the choice.";
    if (!socket) {
      var url = address();
      if (!url) return;
      socket = new WebSocket(url);
      socket.onopen = send;
      socket.onmessage = function (e) {
        if (typeof e.data !== "string") return;
        var m = JSON.parse(e.data), parent = m.parent_header || {};
        if (m.header.msg_type === "comm_close" && m.content.comm_id === comm) { told.textContent = lost; opened = false; last = ""; }
        else if (m.header.msg_type === "status" && m.content.execution_state === "idle" && parent.msg_id === last) { told.textContent = "Later cells see " + level(edge) + "."; told.setAttribute("data-banter-told", level(edge)); }
      };
      socket.onclose = socket.onerror = function () { if (socket) { socket = null; opened = false; comm = id(); told.textContent = lost; } };
      return;
    }
    if (waiting || socket.readyState !== 1) return;
    waiting = true;
    w.setTimeout(function () { if (socket && socket.readyState === 1) send(); }, 50);
  }

  d.querySelectorAll('[data-banter-explore]').forEach(function (host) { if (host.getAttribute("data-banter-explore") === data.address) build(host); });
}
