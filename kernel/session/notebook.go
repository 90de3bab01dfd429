package session

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"banter/dsl/event"
	"banter/kernel/wire"
)

// Notebook is what a cell can do to the notebook that it stands in. Its methods may be called from any goroutine of a
// cell; they act on the cell that began last.
type Notebook struct {
	session *Session
}

var errNoCell = errors.New("no cell runs")

// define gives cells the functions of the notebook.
func (n *Notebook) define(ev Evaluator) error {
	for _, f := range []struct {
		name  string
		value any
	}{
		{"Display", n.Display},
		{"NewDisplay", n.NewDisplay},
		{"UpdateDisplay", n.UpdateDisplay},
		{"ClearOutput", n.ClearOutput},
		{"HTML", HTML},
		{"Markdown", Markdown},
		{"SVG", SVG},
		{"PNG", PNG},
		{"Page", n.Page},
		{"Input", n.Input},
		{"Password", n.Password},
	} {
		if err := ev.Define(f.name, f.value); err != nil {
			return fmt.Errorf("define %s: %w", f.name, err)
		}
	}
	if d, ok := ev.(interface{ Deps() any }); ok {
		if err := ev.Define("Deps", d.Deps); err != nil {
			return fmt.Errorf("define Deps: %w", err)
		}
	}
	return nil
}

// Display shows a value below the cell.
func (n *Notebook) Display(v any) { n.NewDisplay(v) }

// NewDisplay shows a value below the cell, and returns an id by which UpdateDisplay can replace it.
func (n *Notebook) NewDisplay(v any) string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	id := hex.EncodeToString(b[:])
	n.show("display_data", id, v)
	return id
}

// UpdateDisplay replaces what a display shows, wherever it stands.
func (n *Notebook) UpdateDisplay(id string, v any) { n.show("update_display_data", id, v) }

func (n *Notebook) show(msgType, id string, v any) {
	b := render(reflect.ValueOf(v))
	n.session.settle()
	n.session.outlet.show(output{msgType: msgType, id: id, content: map[string]any{
		"data": b.data, "metadata": b.metadataOrEmpty(), "transient": map[string]string{"display_id": id}}}, b.size())
}

// ClearOutput removes what the cell shows; with wait, only when something new comes.
func (n *Notebook) ClearOutput(wait bool) {
	n.session.settle()
	n.session.outlet.show(output{msgType: "clear_output", content: map[string]bool{"wait": wait}}, 0)
}

// Event shows what a verb says about itself while it works. It is an event.Sink.
func (n *Notebook) Event(e event.Event) {
	if r := n.session.current.Load(); r != nil {
		r.bars.event(e)
	}
}

// Show displays a value that is given in forms by MIME type.
func (n *Notebook) Show(forms map[string]any) { n.Display(forms) }

// Hear passes on what the page sends to an address: the data of a comm's opening and of its messages.
func (n *Notebook) Hear(address string, hear func(data json.RawMessage)) {
	n.HandleComm(address, func(c *Comm, data json.RawMessage) {
		c.Hear(func(data json.RawMessage, _ [][]byte) { hear(data) }, nil)
		hear(data)
	})
}

// Kernel is the id by which the Jupyter server knows this kernel: it is in the name of the connection file. It is empty
// where that has another name.
func (n *Notebook) Kernel() string {
	name, isKernel := strings.CutPrefix(filepath.Base(n.session.options.ConnectionFile), "kernel-")
	id, isJSON := strings.CutSuffix(name, ".json")
	if !isKernel || !isJSON {
		return ""
	}
	return id
}

// Cell says which cell runs, by the id that its front-end gives it, and in which run of it.
func (n *Notebook) Cell() (cell, run string) {
	r := n.session.current.Load()
	if r == nil {
		return "", ""
	}
	return cellOf(r.request), r.request.Header.ID
}

// cellOf is the id that a front-end gives the cell that it asks to run. It is empty where the front-end knows no cells.
func cellOf(m *wire.Message) string {
	var about struct {
		Cell string `json:"cellId"`
	}
	if json.Unmarshal(m.Metadata, &about) != nil {
		about.Cell = "" // it is of another type: a front-end's own
	}
	return clip(about.Cell, 256)
}

// Page opens the front-end's pager with a text when the cell has ended.
func (n *Notebook) Page(text string) error {
	r := n.session.current.Load()
	if r == nil || r.ctx.Err() != nil {
		return errNoCell
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pages) == maxPages {
		return fmt.Errorf("a cell opens %d pages at most", maxPages)
	}
	r.pages = append(r.pages, page{Source: "page", Data: map[string]any{"text/plain": clip(text, 1<<20)}})
	return nil
}

// Input asks the user for a line of text.
func (n *Notebook) Input(prompt string) (string, error) { return n.session.stdin.ask(prompt, false) }

// Password asks the user for a line of text that is not shown.
func (n *Notebook) Password(prompt string) (string, error) { return n.session.stdin.ask(prompt, true) }

// HTML is a value that is shown as HTML.
func HTML(markup string) map[string]any {
	return map[string]any{"text/html": markup, "text/plain": "HTML, " + byteCount(int64(len(markup)))}
}

// Markdown is a value that is shown as Markdown.
func Markdown(text string) map[string]any {
	return map[string]any{"text/markdown": text, "text/plain": text}
}

// SVG is a value that is shown as an SVG image.
func SVG(markup string) map[string]any {
	return map[string]any{"image/svg+xml": markup, "text/plain": "SVG image, " + byteCount(int64(len(markup)))}
}

// PNG is a value that is shown as an image.
func PNG(image []byte) map[string]any {
	return map[string]any{"image/png": image, "text/plain": "PNG image, " + byteCount(int64(len(image)))}
}
