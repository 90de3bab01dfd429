package session

import (
	"fmt"
	"html"
	"reflect"
	"slices"
	"strings"
)

// Bounds of a value shown as text. A value within them is shown as fmt's %v shows it.
const (
	maxLeaves    = 2000     // numbers, strings and the like
	maxPlain     = 64 << 10 // bytes
	maxElements  = 100      // of a list that is cut
	maxDepth     = 16
	maxRows      = 20 // of a table
	maxColumns   = 30
	maxCellRunes = 200
)

// plain is v as text, like %v but bounded: a list of ten million numbers is shown by its beginning and its length. Where %v
// shows an address, what is there is shown, and of a function or a channel its type.
func plain(v reflect.Value) string {
	m := measure{leaves: maxLeaves, bytes: maxPlain}
	if m.add(v, 0) && !m.address && v.CanInterface() {
		return clip(fmt.Sprintf("%v", v.Interface()), maxPlain)
	}
	var t trimmer
	t.write(v, 0)
	return t.b.String()
}

// measure counts what fmt would write.
type measure struct {
	leaves, bytes int
	address       bool // fmt would write one
}

// speaks reports whether fmt has a value say itself how it is written.
func speaks(v reflect.Value) bool {
	if !v.IsValid() || !v.CanInterface() || v.Kind() == reflect.Interface {
		return false
	}
	switch v.Interface().(type) {
	case fmt.Formatter, fmt.Stringer, error:
		return true
	}
	return false
}

// add reports whether v stays within the bounds.
func (m *measure) add(v reflect.Value, depth int) bool {
	m.leaves--
	if m.leaves < 0 || m.bytes < 0 || depth > maxDepth {
		return false
	}
	if speaks(v) {
		defer func(address bool) { m.address = address }(m.address)
	}
	switch v.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		m.address = m.address || !v.IsNil()
	case reflect.String:
		m.bytes -= v.Len()
	case reflect.Slice, reflect.Array:
		if v.Len() > m.leaves {
			return false
		}
		for i := range v.Len() {
			if !m.add(v.Index(i), depth+1) {
				return false
			}
		}
	case reflect.Map:
		if v.Len() > m.leaves {
			return false
		}
		for it := v.MapRange(); it.Next(); {
			if !m.add(it.Key(), depth+1) || !m.add(it.Value(), depth+1) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !m.add(v.Field(i), depth+1) {
				return false
			}
		}
	case reflect.Interface:
		if !v.IsNil() {
			return m.add(v.Elem(), depth+1)
		}
	case reflect.Pointer:
		// fmt follows a pointer only at the top, and not to every kind of value.
		if depth == 0 && !v.IsNil() && slices.Contains([]reflect.Kind{reflect.Struct, reflect.Map, reflect.Slice, reflect.Array}, v.Elem().Kind()) {
			return m.add(v.Elem(), depth+1)
		}
		m.address = m.address || !v.IsNil()
	}
	return m.bytes >= 0
}

// trimmer writes the beginning of a large value.
type trimmer struct{ b strings.Builder }

func (t *trimmer) full() bool { return t.b.Len() > maxPlain }

func (t *trimmer) write(v reflect.Value, depth int) {
	if t.full() || depth > maxDepth {
		t.b.WriteString("…")
		return
	}
	if speaks(v) && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		t.b.WriteString(clip(fmt.Sprintf("%v", v.Interface()), maxPlain/4))
		return
	}
	switch v.Kind() {
	case reflect.String:
		t.b.WriteString(clip(v.String(), maxPlain/4))
	case reflect.Slice, reflect.Array:
		t.b.WriteByte('[')
		n := v.Len()
		for i := range min(n, maxElements) {
			if i > 0 {
				t.b.WriteByte(' ')
			}
			if t.full() {
				break
			}
			t.write(v.Index(i), depth+1)
		}
		if n > maxElements {
			fmt.Fprintf(&t.b, " … %d elements in all", n)
		}
		t.b.WriteByte(']')
	case reflect.Map:
		t.b.WriteString("map[")
		shown := 0
		for it := v.MapRange(); it.Next() && shown < maxElements && !t.full(); shown++ {
			if shown > 0 {
				t.b.WriteByte(' ')
			}
			t.write(it.Key(), depth+1)
			t.b.WriteByte(':')
			t.write(it.Value(), depth+1)
		}
		if v.Len() > shown {
			fmt.Fprintf(&t.b, " … %d entries in all", v.Len())
		}
		t.b.WriteByte(']')
	case reflect.Struct:
		t.b.WriteByte('{')
		for i := range v.NumField() {
			if i > 0 {
				t.b.WriteByte(' ')
			}
			t.write(v.Field(i), depth+1)
		}
		t.b.WriteByte('}')
	case reflect.Interface:
		if v.IsNil() {
			t.b.WriteString("<nil>")
			return
		}
		t.write(v.Elem(), depth+1)
	case reflect.Pointer:
		if v.IsNil() {
			t.b.WriteString("<nil>")
			return
		}
		t.b.WriteByte('&')
		t.write(v.Elem(), depth+1)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		if v.IsNil() {
			t.b.WriteString("<nil>")
			return
		}
		t.b.WriteString(v.Type().String())
	default:
		fmt.Fprintf(&t.b, "%v", v) // fmt shows what a reflect.Value holds
	}
}

// tableOf shows a slice of structs as an HTML table of its first rows. All text in it is escaped and kept in its own
// direction.
func tableOf(v reflect.Value) (string, bool) {
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array || v.Len() == 0 {
		return "", false
	}
	row := v.Type().Elem()
	if row.Kind() == reflect.Pointer {
		row = row.Elem()
	}
	if row.Kind() != reflect.Struct {
		return "", false
	}
	var columns []int
	for i := range row.NumField() {
		if row.Field(i).IsExported() && len(columns) < maxColumns {
			columns = append(columns, i)
		}
	}
	if len(columns) == 0 {
		return "", false
	}
	var b strings.Builder
	b.WriteString("<table><thead><tr><th></th>")
	for _, c := range columns {
		fmt.Fprintf(&b, `<th style="text-align:left">%s</th>`, html.EscapeString(row.Field(c).Name))
	}
	b.WriteString("</tr></thead><tbody>")
	for i := range min(v.Len(), maxRows) {
		e := v.Index(i)
		fmt.Fprintf(&b, "<tr><th>%d</th>", i)
		if e.Kind() == reflect.Pointer {
			if e.IsNil() {
				fmt.Fprintf(&b, `<td colspan="%d">nil</td></tr>`, len(columns))
				continue
			}
			e = e.Elem()
		}
		for _, c := range columns {
			fmt.Fprintf(&b, `<td dir="auto" style="text-align:left;unicode-bidi:isolate">%s</td>`, html.EscapeString(cellText(e.Field(c))))
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</tbody></table>")
	hidden := row.NumField() - len(columns)
	rows := "rows"
	if v.Len() == 1 {
		rows = "row"
	}
	fmt.Fprintf(&b, "<p>%d %s", v.Len(), rows)
	if v.Len() > maxRows {
		fmt.Fprintf(&b, ", the first %d shown", maxRows)
	}
	if hidden > 0 && len(columns) == maxColumns {
		fmt.Fprintf(&b, ", the first %d of %d columns", maxColumns, row.NumField())
	}
	b.WriteString("</p>")
	return b.String(), true
}

// cellText is a field's value on one line.
func cellText(v reflect.Value) string {
	if v.Kind() == reflect.String && v.Len() > 8*maxCellRunes {
		v = reflect.ValueOf(v.String()[:8*maxCellRunes] + "…")
	}
	r := []rune(strings.ToValidUTF8(plain(v), "�"))
	if len(r) > maxCellRunes {
		r = append(r[:maxCellRunes:maxCellRunes], '…')
	}
	// Marks that turn the writing direction of what follows would reach out of the cell in a copy of its text.
	r = slices.DeleteFunc(r, func(c rune) bool { return c >= 0x202A && c <= 0x202E || c >= 0x2066 && c <= 0x2069 })
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\r' || c == '\t' {
			return ' '
		}
		return c
	}, string(r))
}
