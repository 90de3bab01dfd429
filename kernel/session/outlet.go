package session

import (
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"banter/kernel/wire"
)

// Bounds of what one cell shows. A front-end keeps every byte of it, in the page and in the notebook's file.
const (
	gatherFirst   = 20 * time.Millisecond // outputs wait this long for company
	gatherNext    = 50 * time.Millisecond // the least time between two batches
	headBytes     = 1 << 20               // printed text shown as it comes
	tailBytes     = 64 << 10              // the end of longer text, shown when the cell ends
	maxDisplays   = 1000                  // displays of one cell
	displayBytes  = 64 << 20              // and the bytes in them
	maxSwitches   = 64                    // changes between stdout and stderr that a batch keeps
	pendingBytes  = 1 << 20               // a batch of this size goes at once
	stdout        = "stdout"
	stderr        = "stderr"
	streamMessage = "stream"
)

// output is one thing that a cell shows: printed text, or a message of another type such as display_data.
type output struct {
	msgType  string
	name     string // of a stream: stdout or stderr
	text     []byte // of a stream
	content  any    // of all else
	metadata any
	buffers  [][]byte
	id       string // of an update: the display that it is for
}

// outlet puts the outputs of cells in one order and hands them on in batches: prints that follow each other become one
// message, updates of one display become the last of them, and text that a clear_output would wipe away is not sent at
// all. So a cell can print in a loop without drowning a browser.
type outlet struct {
	publish func(parent *wire.Message, msgType string, content, metadata any, buffers [][]byte)

	mu       sync.Mutex
	parent   *wire.Message // the request whose outputs these are
	pending  []output
	size     int // bytes of text in pending
	timer    *time.Timer
	armed    bool
	last     time.Time // when the last batch went
	partial  map[string][]byte
	shown    int               // bytes of text shown since parent began
	tails    map[string][]byte // text past headBytes: the last tailBytes of it, or a little more
	cut      int64             // bytes of text past headBytes
	displays int
	displayN int // bytes in displays
}

func newOutlet(publish func(*wire.Message, string, any, any, [][]byte)) *outlet {
	return &outlet{publish: publish, partial: map[string][]byte{}, tails: map[string][]byte{}}
}

// begin attributes what follows to a request. What is left of the former one goes out first.
func (o *outlet) begin(parent *wire.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked()
	o.parent = parent
	o.shown, o.cut, o.displays, o.displayN = 0, 0, 0, 0
}

// end sends all there is. Output that comes later, from a goroutine that outlives its cell, still finds its way.
func (o *outlet) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked()
}

func (o *outlet) endLocked() {
	for _, name := range []string{stdout, stderr} {
		if rest := o.partial[name]; len(rest) > 0 {
			o.partial[name] = nil
			o.text(name, rest)
		}
	}
	if o.cut > 0 {
		left := o.cut
		for _, name := range []string{stdout, stderr} {
			tail := lastRunes(o.tails[name], tailBytes)
			left -= int64(len(tail))
			o.tails[name] = slices.Clone(tail)
		}
		if left > 0 {
			o.add(output{msgType: streamMessage, name: stderr, text: fmt.Appendf(nil, "\n[%s not shown]\n", byteCount(left))})
		}
		for _, name := range []string{stdout, stderr} {
			if len(o.tails[name]) > 0 {
				o.add(output{msgType: streamMessage, name: name, text: o.tails[name]})
			}
			delete(o.tails, name)
		}
		o.cut = 0
	}
	o.flushLocked()
}

// write takes printed text.
func (o *outlet) write(name string, p []byte) {
	if len(p) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if rest := o.partial[name]; len(rest) > 0 {
		p = append(rest, p...)
		o.partial[name] = nil
	}
	// A character that is cut by the end of a write waits for its other bytes.
	if n := incomplete(p); n > 0 {
		o.partial[name] = slices.Clone(p[len(p)-n:])
		p = p[:len(p)-n]
	}
	o.text(name, p)
}

func (o *outlet) text(name string, p []byte) {
	if room := headBytes - o.shown; len(p) > room {
		head := p[:max(room, 0)]
		head = head[:len(head)-incomplete(head)]
		if o.cut == 0 {
			o.add(output{msgType: streamMessage, name: name, text: slices.Clone(head)})
			o.add(output{msgType: streamMessage, name: stderr, text: fmt.Appendf(nil,
				"\n[a cell shows %s of text: the rest is held back, and its end follows when the cell ends]\n", byteCount(headBytes))})
			o.shown = headBytes
			p = p[len(head):]
		}
		o.cut += int64(len(p))
		tail := append(o.tails[name], p...)
		if len(tail) > 4*tailBytes {
			tail = slices.Clone(tail[len(tail)-tailBytes:])
		}
		o.tails[name] = tail
		return
	}
	o.shown += len(p)
	if n := len(o.pending); n > 0 && o.pending[n-1].msgType == streamMessage && o.pending[n-1].name == name {
		o.pending[n-1].text = append(o.pending[n-1].text, p...)
		o.size += len(p)
		o.scheduleLocked()
		return
	}
	o.add(output{msgType: streamMessage, name: name, text: slices.Clone(p)})
}

// show takes a display or another message. It reports false where the cell has shown too much already.
func (o *outlet) show(out output, size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch out.msgType {
	case "clear_output":
		// All that waits would be wiped away at once.
		o.pending = slices.DeleteFunc(o.pending, func(p output) bool {
			return p.msgType == streamMessage || p.msgType == "display_data" || p.msgType == "clear_output"
		})
		o.size = 0
		o.shown, o.displays, o.displayN, o.cut = 0, 0, 0, 0
		clear(o.tails)
	case "update_display_data":
		if o.displayN+size > displayBytes {
			return false
		}
		o.displayN += size / 16 // an update replaces what was there; a client's history of it does not grow
		for i, p := range o.pending {
			if p.msgType == out.msgType && p.id == out.id {
				o.pending[i] = out
				return true
			}
		}
	case "display_data":
		if o.displays >= maxDisplays || o.displayN+size > displayBytes {
			if o.displays <= maxDisplays {
				o.displays = maxDisplays + 1
				o.add(output{msgType: streamMessage, name: stderr, text: fmt.Appendf(nil,
					"\n[a cell shows %d displays and %s in them: the rest are dropped]\n", maxDisplays, byteCount(displayBytes))})
			}
			return false
		}
		o.displays++
		o.displayN += size
	}
	o.add(out)
	return true
}

func (o *outlet) add(out output) {
	if out.msgType == streamMessage && len(out.text) == 0 {
		return
	}
	o.pending = append(o.pending, out)
	o.size += len(out.text)
	o.scheduleLocked()
}

func (o *outlet) scheduleLocked() {
	if o.size > pendingBytes || len(o.pending) > 4*maxDisplays {
		o.flushLocked()
		return
	}
	if o.armed {
		return
	}
	o.armed = true
	wait := max(gatherFirst, gatherNext-time.Since(o.last))
	if o.timer == nil {
		o.timer = time.AfterFunc(wait, o.flush)
	} else {
		o.timer.Reset(wait)
	}
}

// flush sends what is pending.
func (o *outlet) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
}

func (o *outlet) flushLocked() {
	if o.armed {
		o.timer.Stop()
		o.armed = false
	}
	if len(o.pending) == 0 {
		return
	}
	batch := o.pending
	o.pending, o.size, o.last = nil, 0, time.Now()
	for _, out := range calm(batch) {
		if out.msgType == streamMessage {
			out.content = map[string]string{"name": out.name, "text": string(out.text)}
		}
		o.publish(o.parent, out.msgType, out.content, out.metadata, out.buffers)
	}
}

// calm joins the streams of a batch that switches between stdout and stderr more often than anybody can read.
func calm(batch []output) []output {
	streams := 0
	for _, out := range batch {
		if out.msgType == streamMessage {
			streams++
		}
	}
	if streams <= maxSwitches {
		return batch
	}
	var calmed []output
	at := map[string]int{} // where the text of each stream gathers, since the last output of another type
	for _, out := range batch {
		if out.msgType != streamMessage {
			calmed = append(calmed, out)
			clear(at)
			continue
		}
		if i, ok := at[out.name]; ok {
			calmed[i].text = append(calmed[i].text, out.text...)
			continue
		}
		at[out.name] = len(calmed)
		calmed = append(calmed, out)
	}
	return calmed
}

// incomplete counts the bytes at the end of p that begin a character without ending it.
func incomplete(p []byte) int {
	for n := 1; n <= min(3, len(p)); n++ {
		c := p[len(p)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// lastRunes is the last limit bytes of p, less a cut character at their beginning.
func lastRunes(p []byte, limit int) []byte {
	if len(p) <= limit {
		return p
	}
	p = p[len(p)-limit:]
	for i := 0; i < min(3, len(p)); i++ {
		if utf8.RuneStart(p[i]) {
			return p[i:]
		}
	}
	return p
}

func byteCount(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
