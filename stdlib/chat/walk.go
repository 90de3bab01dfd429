package chat

import (
	"errors"
	"fmt"
	"io"

	"banter/internal/problem"
)

// document walks JSON that may be far larger than memory: containers are entered, and only records are held whole.

// peek gives the next byte that is not space, without taking it. At the end of the text it gives io.EOF.
func (p *pass) peek() (byte, error) {
	for {
		c := cursor{b: p.w.rest()}
		b, err := c.space()
		p.w.pos += c.i
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, errShort) {
			return 0, p.broken(err)
		}
		if p.w.eof {
			if len(p.w.rest()) > 0 { // a comment without end
				p.w.pos = len(p.w.buf)
			}
			return 0, io.EOF
		}
		if err := p.w.more(); err != nil {
			return 0, err
		}
	}
}

// broken says that the document itself, not just a record, cannot be read on.
func (p *pass) broken(err error) error {
	return &problem.Error{At: fmt.Sprintf("line %d, byte %d", p.w.line(), p.w.offset()),
		Err: fmt.Errorf("not valid JSON: %w", err), Fix: fixDownload}
}

// whole runs parse over a value that must be in memory as a whole, reading on until it is, and takes what parse took.
// parse may run several times and must begin anew each time. At the end of the text it gives errShort.
func (p *pass) whole(parse func(c *cursor) error) error {
	for {
		p.cur.b, p.cur.i = p.w.rest(), 0
		err := parse(&p.cur)
		if err == nil {
			p.w.pos += p.cur.i
			return nil
		}
		if !errors.Is(err, errShort) || p.w.eof {
			return err
		}
		if err := p.w.fill(min(2*len(p.w.rest())+1, p.w.limit+1)); err != nil {
			return err
		}
	}
}

// members enters an object and calls member for each key; member must take the value.
func (p *pass) members(member func(key string) error) error {
	if err := p.whole(func(c *cursor) error { return c.expect('{') }); err != nil {
		return p.ended(err)
	}
	for first := true; ; first = false {
		more, err := p.step('}', first)
		if err != nil || !more {
			return err
		}
		var key string
		if err := p.whole(func(c *cursor) error {
			k, err := c.key()
			key = string(k)
			return err
		}); err != nil {
			return p.ended(err)
		}
		if err := member(key); err != nil {
			return err
		}
	}
}

// elements enters an array and calls element for each of its values; element must take the value. Anything else than an
// array is passed over.
func (p *pass) elements(element func() error) error {
	b, err := p.peek()
	if err != nil {
		return p.ended(err)
	}
	if b != '[' {
		return p.discard()
	}
	p.w.pos++
	for first := true; ; first = false {
		more, err := p.step(']', first)
		if err != nil || !more {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// step is cursor.next across the edges of the window.
func (p *pass) step(closing byte, first bool) (bool, error) {
	b, err := p.peek()
	if err != nil {
		return false, p.ended(err)
	}
	if b == closing {
		p.w.pos++
		return false, nil
	}
	if first {
		return true, nil
	}
	if b == ',' {
		p.w.pos++
		if b, err = p.peek(); err != nil {
			return false, p.ended(err)
		}
		if b == closing {
			p.w.pos++
			return false, nil
		}
	}
	// A missing comma between two records is forgiven: nothing is lost by it.
	if b == '}' || b == ']' || b == ':' || b == ',' {
		return false, p.broken(fmt.Errorf("found %q where a value or %q should stand", b, closing))
	}
	return true, nil
}

// errTruncated says that the text ends inside the document. What was read so far is kept.
var errTruncated = errors.New("the file ends before its JSON does")

// ended turns the end of the text inside the document into errTruncated.
func (p *pass) ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errShort) {
		return errTruncated
	}
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return p.broken(err)
	}
	return err
}

// truncated counts the end of the text inside the document as one malformed record. Where packed data breaks off, run counts
// that.
func (p *pass) truncated(err error) error {
	if !errors.Is(err, errTruncated) {
		return err
	}
	if p.w.cut() != nil {
		return nil
	}
	return p.malformed(p.w.offset(), p.w.line(), errTruncated)
}

// discard takes a value of any size without holding it.
func (p *pass) discard() error {
	b, err := p.peek()
	if err != nil {
		return p.ended(err)
	}
	if b != '{' && b != '[' && b != '"' {
		return p.ended(p.whole(func(c *cursor) error { return c.skip() }))
	}
	depth, inString, escaped := 0, false, false
	for {
		rest := p.w.rest()
		for i, b := range rest {
			switch {
			case escaped:
				escaped = false
				continue
			case inString && b == '\\':
				escaped = true
				continue
			case b == '"':
				inString = !inString
			case inString:
				continue
			case b == '{' || b == '[':
				if depth++; depth > p.limits.Depth {
					p.w.pos += i
					return p.refused(&depthError{p.limits.Depth})
				}
			case b == '}' || b == ']':
				depth--
			}
			if depth == 0 && !inString {
				p.w.pos += i + 1
				return nil
			}
		}
		p.w.pos = len(p.w.buf)
		if p.w.eof {
			return errTruncated
		}
		if err := p.w.more(); err != nil {
			return err
		}
	}
}

// refused places a breach of the limits.
func (p *pass) refused(err error) error {
	return &problem.Error{At: fmt.Sprintf("line %d, byte %d", p.w.line(), p.w.offset()), Err: err, Fix: "this is no ordinary chat log: check where it comes from"}
}

// record reads one record with parse, which must fill p.msg or say errIgnored. A record that parse cannot read is counted
// as malformed and passed over.
func (p *pass) record(parse func(c *cursor, m *Message) error) error {
	if _, err := p.peek(); err != nil {
		return p.ended(err)
	}
	position := p.w.offset()
	err := p.whole(func(c *cursor) error { return parse(c, p.begin(position)) })
	switch {
	case err == nil:
		return p.accept()
	case errors.Is(err, errIgnored):
		p.w.pos += p.cur.i
		p.ignored()
		return nil
	}
	return p.passOver(err, position)
}

// errIgnored says that a record is well formed but no message. The cursor must stand behind it.
var errIgnored = errors.New("not a message")

// passOver deals with a record that gave err: one that is malformed is counted and skipped; else err is given back.
func (p *pass) passOver(err error, position int64) error {
	var depth *depthError
	var told *problem.Error
	switch {
	case errors.Is(err, errShort):
		return errTruncated
	case errors.As(err, &depth):
		return p.refused(err)
	case errors.As(err, &told), p.ctx.Err() != nil:
		return err
	}
	line := p.w.line()
	if err := p.malformed(position, line, err); err != nil {
		return err
	}
	if skipped := p.whole(func(c *cursor) error { return c.skip() }); skipped != nil {
		if errors.As(skipped, &depth) {
			return p.refused(skipped)
		}
		return p.ended(skipped)
	}
	return nil
}
