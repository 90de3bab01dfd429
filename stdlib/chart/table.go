package chart

import (
	"fmt"
	"html"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// Table is rows of cells under named columns.
type Table struct {
	Caption string
	Columns []Column
	Rows    iter.Seq[[]Cell] // taken once, and no further than Limit
	Total   int              // rows in all, where Rows may give fewer; 0 where it is not known
	Limit   int              // rows shown; 0 means 200
}

// Column is one column of a table.
type Column struct {
	Name  string
	Right bool // numbers, written to the right
	Wide  bool // running text, given the most room
}

// Cell is one value of a table. Its text is shown, its number sorted by where Sort is true.
type Cell struct {
	Text   string
	Detail string // smaller, under the text
	Number float64
	Sort   bool // by Number instead of Text
	Tone   Tone // of the text; Auto is the page's own
}

// TextCell is a cell of text.
func TextCell(s string) Cell { return Cell{Text: s} }

// NumberCell is a cell of a number, written with as many digits as it needs.
func NumberCell(v float64) Cell { return Cell{Text: number(v), Number: v, Sort: true} }

// TimeCell is a cell of stream time.
func TimeCell(d time.Duration) Cell {
	return Cell{Text: clockText(math.Round(d.Seconds()*10) / 10), Number: d.Seconds(), Sort: true}
}

// Rows gives rows that are in memory already.
func Rows(rows ...[]Cell) iter.Seq[[]Cell] {
	return func(yield func([]Cell) bool) {
		for _, r := range rows {
			if !yield(r) {
				return
			}
		}
	}
}

const (
	defaultRows = 200
	maxRows     = 5000
	maxCell     = 400 // characters shown of a cell
)

// HTML is a fragment for a notebook: the table with its style, sortable by its heads where scripts run. Only the rows
// shown are ever held.
func (t Table) HTML() string {
	// Said twice, the class outweighs what notebooks say of all tables.
	return `<div class="banter-table">` + tableStyle(`.banter-table.banter-table`) + t.markup() + `</div>` + sortScript
}

// markup is the table alone.
func (t Table) markup() string {
	limit := t.Limit
	if limit <= 0 {
		limit = defaultRows
	}
	limit = min(limit, maxRows)
	var b strings.Builder
	if caption := clean(t.Caption, 300); caption != "" {
		b.WriteString(`<p class="caption">` + html.EscapeString(caption) + "</p>")
	}
	b.WriteString(`<table data-banter-sort>`)
	b.WriteString("<thead><tr>")
	columns := t.Columns[:min(len(t.Columns), 100)]
	for _, c := range columns {
		b.WriteString("<th scope=\"col\"" + columnClass(c) + ">" + html.EscapeString(clean(c.Name, maxLabel)) + "</th>")
	}
	b.WriteString("</tr></thead><tbody>")
	shown, more := 0, false
	if t.Rows != nil {
		for row := range t.Rows {
			if shown == limit {
				more = true
				break
			}
			shown++
			b.WriteString("<tr>")
			for i, c := range columns {
				var cell Cell
				if i < len(row) {
					cell = row[i]
				}
				cell.write(&b, c)
			}
			b.WriteString("</tr>")
		}
	}
	b.WriteString("</tbody></table>")
	note := ""
	switch {
	case t.Total > shown:
		note = fmt.Sprintf("The first %s of %s rows.", Grouped(shown), Grouped(t.Total))
	case more:
		note = fmt.Sprintf("The first %s rows; there are more.", Grouped(shown))
	case shown == 0:
		note = "No rows."
	}
	if note != "" {
		b.WriteString(`<p class="note">` + html.EscapeString(note) + "</p>")
	}
	return `<div class="scroll">` + b.String() + `</div>`
}

func columnClass(c Column) string {
	switch {
	case c.Right:
		return ` class="right"`
	case c.Wide:
		return ` class="wide"`
	}
	return ""
}

func (c Cell) write(b *strings.Builder, col Column) {
	b.WriteString("<td" + columnClass(col))
	if c.Sort && finite(c.Number) {
		b.WriteString(` data-sort="` + strconv.FormatFloat(c.Number, 'g', 8, 64) + `"`)
	}
	if c.Tone != Auto {
		b.WriteString(` style="color:var(` + colorName(toneRole(c.Tone)) + `)"`)
	}
	// <bdi> keeps text that reads from the right, and marks that are never closed, within the cell.
	b.WriteString("><bdi>" + html.EscapeString(bounded(c.Text, maxCell)) + "</bdi>")
	if c.Detail != "" {
		b.WriteString("<small><bdi>" + html.EscapeString(bounded(c.Detail, maxCell)) + "</bdi></small>")
	}
	b.WriteString("</td>")
}

// bounded is clean, and says how long the text was where it was cut.
func bounded(s string, n int) string {
	out := clean(s, n)
	if strings.HasSuffix(out, "…") && len(s) > 4*n {
		out += fmt.Sprintf(" (%s bytes in all)", Grouped(len(s)))
	}
	return out
}

// Comparison is one line of a before/after table.
type Comparison struct {
	Name          string
	Before, After Estimate
	LowerIsBetter bool
	Neutral       bool // neither is better
	Percent       bool
	Verdict       string // of a gate, for example; may be empty
}

// Estimate is a number with its interval; Low and High are both 0 where there is none.
type Estimate struct {
	Value, Low, High float64
}

// BeforeAfter sets two measurements beside each other. A change is colored when the intervals do not overlap, by whether
// it is for the better.
func BeforeAfter(caption string, lines []Comparison) Table {
	var rows [][]Cell
	for _, l := range lines {
		axis := Axis{}
		if l.Percent {
			axis.Unit = Percent
		}
		estimate := func(e Estimate) Cell {
			c := Cell{Text: axis.write(measured(e.Value)), Number: e.Value, Sort: true}
			if e.Low != 0 || e.High != 0 {
				c.Detail = axis.write(measured(e.Low)) + " – " + axis.write(measured(e.High))
			}
			return c
		}
		change := Cell{Number: l.After.Value - l.Before.Value, Sort: true}
		if l.Before.Value != 0 && finite(l.After.Value/l.Before.Value) {
			change.Number = l.After.Value/math.Abs(l.Before.Value) - l.Before.Value/math.Abs(l.Before.Value)
			change.Text = changed(l.Before.Value, l.After.Value, change.Number)
		} else {
			change.Text = axis.write(measured(change.Number))
		}
		apart := (l.After.Low != 0 || l.After.High != 0) && (l.After.Low > l.Before.High || l.After.High < l.Before.Low)
		if apart {
			if !l.Neutral {
				change.Tone = Red
			}
			if !l.Neutral && (l.After.Value < l.Before.Value) == l.LowerIsBetter {
				change.Tone = Green
			}
			change.Detail = "intervals apart"
		} else if l.After.Low != 0 || l.After.High != 0 {
			change.Detail = "intervals overlap"
		}
		better := "higher is better"
		if l.LowerIsBetter {
			better = "lower is better"
		}
		if l.Neutral {
			better = ""
		}
		rows = append(rows, []Cell{{Text: l.Name, Detail: better}, estimate(l.Before), estimate(l.After), change, TextCell(l.Verdict)})
	}
	columns := []Column{{Name: "measure"}, {Name: "before", Right: true}, {Name: "after", Right: true}, {Name: "change", Right: true}, {Name: "gate"}}
	gated := false
	for _, l := range lines {
		gated = gated || l.Verdict != ""
	}
	if !gated {
		columns = columns[:4]
	}
	return Table{Caption: caption, Columns: columns, Rows: Rows(rows...), Total: len(rows)}
}

// measured rounds what was measured to three digits, to whole numbers from a thousand on, and takes what is nearer to 0 than one in ten thousand for 0.
func measured(v float64) float64 {
	if math.Abs(v) < 1e-4 {
		return 0
	}
	if !finite(v) || math.Abs(v) >= 1000 {
		return math.Round(v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	return math.Round(v/unit) * unit
}

// changed writes a change from before to after, which is a share of before: in percent as long as that tells anything, as a
// factor where it is tenfold or more.
func changed(before, after, share float64) string {
	switch ratio := after / before; {
	case ratio >= 10:
		return "× " + number(measured(ratio))
	case ratio > 0 && ratio <= 0.1:
		return "÷ " + number(measured(1/ratio))
	}
	sign := ""
	if share > 0 {
		sign = "+"
	}
	return sign + number(math.Round(share*1000)/10) + "\u202f%"
}

// tableStyle styles the tables within scope, for a page of unknown colors: a notebook's.
func tableStyle(scope string) string {
	s := `$ {` + light.colors() + `}
@media (prefers-color-scheme: dark) {$ {` + dark.colors() + `}}
[data-jp-theme-light="true"] $ {` + light.colors() + `}
[data-jp-theme-light="false"] $ {` + dark.colors() + `}
$ {color: var(` + colorName(roleText) + `); background: var(` + colorName(roleGround) + `); font: 13px/1.45 ` + svgFont + `; border-radius: 6px; padding: 4px 8px; max-width: 100%}
` + tableRules
	return "<style>" + strings.ReplaceAll(strings.ReplaceAll(s, "$", scope), "\n", "") + "</style>"
}

// scrollShadow is the ground of what scrolls sideways: a shadow at a side says that it goes on there.
const scrollShadow = `background: linear-gradient(to right, var(--banter-c0) 30%, transparent) 0 0 / 40px 100% local no-repeat, linear-gradient(to left, var(--banter-c0) 30%, transparent) 100% 0 / 40px 100% local no-repeat, linear-gradient(to right, var(--banter-c4), transparent) 0 0 / 12px 100% scroll no-repeat, linear-gradient(to left, var(--banter-c4), transparent) 100% 0 / 12px 100% scroll no-repeat`

// tableRules style tables within $.
const tableRules = `$ .scroll {overflow-x: auto; ` + scrollShadow + `}
$ p.caption {font-weight: 600; font-size: 14px; margin: 10px 0 4px; max-width: none}
$ table {border-collapse: collapse; table-layout: auto; width: 100%; margin: 0; font-size: 13px; text-align: left}
$ th {text-align: left; font-weight: 600; color: var(--banter-c2); border-bottom: 1px solid var(--banter-c4); padding: 6px 12px 6px 0; white-space: nowrap; background: none}
$ td {text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--banter-c3); background: none; overflow-wrap: break-word; max-width: 240px}
$ td.wide {min-width: 180px; max-width: none; overflow-wrap: anywhere}
$ tr {background: none !important}
$ th.right, $ td.right {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}
$ small {display: block; color: var(--banter-c2); font-size: 11px}
$ th[aria-sort] {color: var(--banter-c1)}
$ .sortable th {cursor: pointer}
$ th[aria-sort=ascending]::after {content: " \2191"}
$ th[aria-sort=descending]::after {content: " \2193"}
$ p.note {color: var(--banter-c2); font-size: 12px; margin: 6px 0 0}
`

// sortScript sorts a table's rows by the head that is clicked. It moves rows and reads text; it writes no markup.
const sortScript = `<script>(function(){document.querySelectorAll("table[data-banter-sort]:not(.sortable)").forEach(function(t){` +
	`t.classList.add("sortable");t.tHead.addEventListener("click",function(e){var h=e.target.closest("th");if(!h)return;` +
	`var i=h.cellIndex,up=h.getAttribute("aria-sort")!=="ascending",b=t.tBodies[0],rows=Array.prototype.slice.call(b.rows);` +
	`function key(r){var c=r.cells[i],s=c.getAttribute("data-sort");return s===null?c.textContent.toLowerCase():parseFloat(s)}` +
	`rows.map(function(r,n){return{r:r,k:key(r),n:n}}).sort(function(x,y){var d=typeof x.k==="number"&&typeof y.k==="number"?x.k-y.k:String(x.k)<String(y.k)?-1:String(x.k)>String(y.k)?1:0;` +
	`return(up?d:-d)||x.n-y.n}).forEach(function(x){b.appendChild(x.r)});` +
	`t.querySelectorAll("th").forEach(function(x){x.removeAttribute("aria-sort")});h.setAttribute("aria-sort",up?"ascending":"descending")})})})()</script>`
