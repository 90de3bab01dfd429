package session

import (
	"encoding/base64"
	"fmt"
	"html"
	"slices"
	"strings"

	"banter/kernel/cell"
)

// maxDrawn bounds the cells of a drawn graph: the latest are drawn.
const maxDrawn = 40

// drawn is a graph of cells as a notebook shows it.
type drawn struct{ cell.Graph }

// Deps shows which cell uses what of which other one, and which have inputs that were run again since.
func (c *cells) Deps() any { return drawn{c.Evaluator.Deps()} }

// nodes are the cells that take part, in the order of their latest run.
func (d drawn) nodes() []string {
	var list []string
	for _, e := range d.Edges { // what an earlier run of a cell declared, and the latest does not
		if !slices.Contains(d.Cells, e.From) && !slices.Contains(list, e.From) {
			list = append(list, e.From)
		}
	}
	for _, c := range d.Cells {
		if slices.ContainsFunc(d.Edges, func(e cell.Edge) bool { return e.From == c || e.To == c }) {
			list = append(list, c)
		}
	}
	return list[max(0, len(list)-maxDrawn):]
}

func few(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

// String lists the graph.
func (d drawn) String() string {
	var b strings.Builder
	for _, n := range d.nodes() {
		for _, e := range d.Edges {
			if e.To == n {
				fmt.Fprintf(&b, "%s uses %s of %s\n", n, few(e.Names), e.From)
			}
		}
		if why := d.Stale[n]; why != "" {
			fmt.Fprintf(&b, "%s is stale: %s\n", n, why)
		}
	}
	if b.Len() == 0 {
		return "no cell uses anything of another"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// MimeBundle draws the graph: the cells one below the other, and an arc for what one uses of another.
func (d drawn) MimeBundle() map[string]any {
	nodes := d.nodes()
	if len(nodes) == 0 {
		return map[string]any{"text/plain": d.String()}
	}
	const row, wide, high, left = 46, 150, 28, 8
	at := func(name string) int { return slices.Index(nodes, name)*row + row/2 }
	var b strings.Builder
	reach := 0
	var arcs, labels strings.Builder
	for _, e := range d.Edges {
		from, to := slices.Index(nodes, e.From), slices.Index(nodes, e.To)
		if from < 0 || to < 0 {
			continue
		}
		y1, y2 := at(e.From), at(e.To)
		out := 40 + 26*min(8, max(from-to, to-from))
		reach = max(reach, out)
		color := "#7a8899"
		if d.Stale[e.To] != "" {
			color = "#d97706"
		}
		fmt.Fprintf(&arcs, `<path d="M%d %d C%d %d %d %d %d %d" fill="none" stroke="%s" stroke-width="1.5" marker-end="url(#%s)"/>`, left+wide, y1+5, left+wide+out, y1+5, left+wide+out, y2-5, left+wide+3, y2-5, color, strings.TrimPrefix(color, "#"))
		fmt.Fprintf(&labels, `<text x="%d" y="%d" font-size="12" fill="%s">%s</text>`, left+wide+out*3/4+10, (y1+y2)/2+4, color, html.EscapeString(few(e.Names)))
	}
	width, height := left+wide+reach+260, len(nodes)*row
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif"><defs>`, width, height, width, height)
	for _, color := range []string{"7a8899", "d97706"} {
		fmt.Fprintf(&b, `<marker id="%s" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#%s"/></marker>`, color, color)
	}
	b.WriteString("</defs>" + arcs.String() + labels.String())
	for _, n := range nodes {
		fill, stroke, text := "#eaf1fb", "#3b78c4", n
		if d.Stale[n] != "" {
			fill, stroke, text = "#fdf0d9", "#d97706", n+" (stale)"
		}
		fmt.Fprintf(&b, `<g><rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="%s"/><text x="%d" y="%d" font-size="13" fill="#1b2733" text-anchor="middle">%s</text></g>`,
			left, at(n)-high/2, wide, high, fill, stroke, left+wide/2, at(n)+5, html.EscapeString(text))
	}
	b.WriteString("</svg>")
	page := fmt.Sprintf(`<img alt="%s" style="max-width:100%%" src="data:image/svg+xml;base64,%s">`, html.EscapeString(d.String()), base64.StdEncoding.EncodeToString([]byte(b.String())))
	for _, n := range nodes {
		if why := d.Stale[n]; why != "" {
			page += `<p style="margin:4px 8px"><bdi>` + html.EscapeString(n+" is stale: "+why) + `</bdi></p>`
		}
	}
	return map[string]any{"text/html": page, "text/plain": d.String()}
}
