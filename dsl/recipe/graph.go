package recipe

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/problem"
)

// LastRun describes the last run of the recipe in file that ended well, from the store.
func LastRun(store *memo.Store, file string) (*Lock, error) {
	root, ok, err := store.Root(rootName(file))
	if err != nil {
		return nil, err
	}
	if !ok || len(root.Keys) == 0 {
		return nil, &problem.Error{Op: "find the last run of", Path: file, Err: errors.New("it did not end in this store yet"), Fix: "recipe run " + file}
	}
	l, err := lockOf(store, root.Keys)
	if err != nil {
		return nil, err
	}
	for _, about := range slices.Sorted(maps.Keys(root.About)) {
		if name, ok := strings.CutPrefix(about, "param."); ok {
			l.Params = append(l.Params, LockedParam{name, root.About[about]})
		}
	}
	return l, nil
}

// node is a box of the graph: one step, or many alike.
type node struct {
	verb, label, key string
	depth            int
	reads            []int // boxes
	y                int
}

// alikeAtMost is how many steps of one verb side by side have boxes of their own.
const alikeAtMost = 12

// Graph draws the steps of a run as SVG: a box each, with its verb, what it was done to and its key, and a line from each
// step to those that read it. Many steps of one verb side by side are one box. The same run gives the same bytes.
func Graph(l *Lock) []byte {
	nodes, columns := boxes(l)
	const width, height, gapX, gapY, edge = 190, 46, 60, 16, 20
	tallest := 0
	for _, c := range columns {
		tallest = max(tallest, len(c))
	}
	for _, c := range columns {
		top := edge + (tallest-len(c))*(height+gapY)/2
		for i, n := range c {
			nodes[n].y = top + i*(height+gapY)
		}
	}
	x := func(n node) int { return edge + n.depth*(width+gapX) }
	var b strings.Builder
	w, h := 2*edge+len(columns)*(width+gapX)-gapX, 2*edge+tallest*(height+gapY)-gapY
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", w, h)
	for _, n := range nodes {
		for _, r := range n.reads {
			from := nodes[r]
			x1, y1, x2, y2 := x(from)+width, from.y+height/2, x(n), n.y+height/2
			fmt.Fprintf(&b, `<path d="M%d %dC%d %d %d %d %d %d" fill="none" stroke="#8a94a6" stroke-width="1.2"/>`+"\n", x1, y1, x1+gapX/2, y1, x2-gapX/2, y2, x2, y2)
		}
	}
	for _, n := range nodes {
		fmt.Fprintf(&b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="#eef3fb" stroke="#3b6fb6"/>`, escape(n.verb+" "+n.label+" "+n.key), x(n), n.y, width, height)
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="13" font-weight="bold" fill="#1c2733">%s</text>`, x(n)+10, n.y+19, escape(n.verb))
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="12" text-anchor="end" fill="#1c2733">%s</text>`, x(n)+width-10, n.y+19, escape(clip(n.label, 15)))
		fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="11" font-family="monospace" fill="#5a6675">%s</text></g>`+"\n", x(n)+10, n.y+36, escape(n.key))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// boxes lays the steps out in columns, each right of what it reads.
func boxes(l *Lock) (nodes []node, columns [][]int) {
	depth := map[memo.Key]int{}
	for _, s := range l.Steps { // each comes after those that it reads
		for _, r := range s.Reads {
			if d, ok := depth[r]; ok {
				depth[s.Key] = max(depth[s.Key], d+1)
			}
		}
		depth[s.Key] += 0
	}
	type kind struct {
		verb  string
		depth int
	}
	alike := map[kind]int{}
	for _, s := range l.Steps {
		alike[kind{s.Verb, depth[s.Key]}]++
	}
	boxOf := map[memo.Key]int{}
	shared := map[kind]int{}
	for _, s := range l.Steps {
		k := kind{s.Verb, depth[s.Key]}
		at, ok := shared[k]
		if !ok || alike[k] <= alikeAtMost {
			n := node{verb: s.Verb, label: s.Label, key: s.Key.Short(), depth: k.depth}
			if alike[k] > alikeAtMost {
				n.label, n.key = fmt.Sprintf("× %d", alike[k]), ""
			}
			at = len(nodes)
			nodes = append(nodes, n)
			shared[k] = at
			for len(columns) <= k.depth {
				columns = append(columns, nil)
			}
			columns[k.depth] = append(columns[k.depth], at)
		}
		boxOf[s.Key] = at
		for _, r := range s.Reads {
			if from, ok := boxOf[r]; ok && from != at && !slices.Contains(nodes[at].reads, from) {
				nodes[at].reads = append(nodes[at].reads, from)
			}
		}
	}
	return nodes, columns
}

func clip(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// escape makes a text safe in SVG, and free of what XML cannot hold.
func escape(text string) string { return html.EscapeString(strings.Map(printable, text)) }
