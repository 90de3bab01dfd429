package chat

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor pulls JSON apart over bytes, without building a tree. It is as lenient as the tools that wrote the logs: it
// takes comments and trailing commas. When the bytes end before the value does, it says errShort, and the caller reads on
// and begins the record anew.
type cursor struct {
	b     []byte
	i     int
	depth int // deepest nesting allowed
}

var errShort = errors.New("the text ends inside a value")

// syntaxError says what stood where something else was wanted.
type syntaxError struct {
	want string
	got  byte
	at   int // index into cursor.b
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("expected %s, found %q", e.want, e.got)
}

// depthError refuses JSON that nests deeper than the limit.
type depthError struct{ limit int }

func (e *depthError) Error() string {
	return fmt.Sprintf("values nest deeper than %d levels, as in no chat log", e.limit)
}

func (c *cursor) bad(want string) error {
	return &syntaxError{want: want, got: c.b[c.i], at: c.i}
}

// space skips white space and comments and gives the next byte without taking it.
func (c *cursor) space() (byte, error) {
	if c.i < len(c.b) && c.b[c.i] > ' ' && c.b[c.i] != '/' {
		return c.b[c.i], nil
	}
	return c.spaces()
}

func (c *cursor) spaces() (byte, error) {
	b := c.b
	for i := c.i; i < len(b); i++ {
		switch b[i] {
		case ' ', '\n', '\r', '\t':
		case '/':
			c.i = i
			if err := c.comment(); err != nil {
				return 0, err
			}
			i = c.i - 1
		default:
			c.i = i
			return b[i], nil
		}
	}
	c.i = len(b)
	return 0, errShort
}

// comment skips one // or /* comment.
func (c *cursor) comment() error {
	if c.i+1 >= len(c.b) {
		return errShort
	}
	var end []byte
	switch c.b[c.i+1] {
	case '/':
		end = []byte("\n")
	case '*':
		end = []byte("*/")
	default:
		return c.bad("a value")
	}
	n := bytes.Index(c.b[c.i+2:], end)
	if n < 0 {
		return errShort
	}
	c.i += 2 + n + len(end)
	return nil
}

// expect takes the byte want after any space.
func (c *cursor) expect(want byte) error {
	got, err := c.space()
	if err != nil {
		return err
	}
	if got != want {
		return c.bad(strconv.QuoteRune(rune(want)))
	}
	c.i++
	return nil
}

// open takes an opening bracket; false means that a null stood there instead.
func (c *cursor) open(bracket byte) (bool, error) {
	got, err := c.space()
	if err != nil {
		return false, err
	}
	if got == bracket {
		c.i++
		return true, nil
	}
	if got == 'n' {
		return false, c.skip()
	}
	return false, c.bad(strconv.QuoteRune(rune(bracket)))
}

// next steps to the next member of an object or array that ends with closing; false means that it has ended.
// first is true before the first member.
func (c *cursor) next(closing byte, first bool) (bool, error) {
	got, err := c.space()
	if err != nil {
		return false, err
	}
	if !first {
		if got == ',' {
			c.i++
			if got, err = c.space(); err != nil {
				return false, err
			}
		} else if got != closing {
			return false, c.bad("',' or " + strconv.QuoteRune(rune(closing)))
		}
	}
	if got == closing {
		c.i++
		return false, nil
	}
	return true, nil
}

// key takes a member's name and its colon.
func (c *cursor) key() ([]byte, error) {
	if b, start := c.b, c.i+1; start <= len(b) && b[c.i] == '"' { // the short way, for names as all tools write them
		for i := start; i+1 < len(b) && b[i] != '\\'; i++ {
			if b[i] == '"' {
				if b[i+1] != ':' {
					break
				}
				c.i = i + 2
				return b[start:i], nil
			}
		}
	}
	raw, escaped, err := c.str()
	if err != nil {
		return nil, err
	}
	if escaped {
		raw = unescape(nil, raw)
	}
	return raw, c.expect(':')
}

// str takes a string and gives what stands between its quotes, and whether that holds escapes.
func (c *cursor) str() (raw []byte, escaped bool, err error) {
	got, err := c.space()
	if err != nil {
		return nil, false, err
	}
	if got != '"' {
		return nil, false, c.bad("a string")
	}
	start := c.i + 1
	for i := start; ; {
		n := bytes.IndexByte(c.b[i:], '"')
		if n < 0 {
			return nil, false, errShort
		}
		i += n
		slashes := 0
		for i-1-slashes >= start && c.b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			raw = c.b[start:i]
			c.i = i + 1
			return raw, bytes.IndexByte(raw, '\\') >= 0, nil
		}
		i++
	}
}

// text takes a string, or null or a number as some tools write ids, and gives its bytes. They may lie in scratch.
func (c *cursor) text(scratch []byte) ([]byte, error) {
	got, err := c.space()
	if err != nil {
		return nil, err
	}
	switch {
	case got == '"':
		raw, escaped, err := c.str()
		if err != nil || !escaped {
			return raw, err
		}
		return unescape(scratch[:0], raw), nil
	case got == 'n':
		return nil, c.skip()
	case got == '-' || got >= '0' && got <= '9':
		return c.number()
	}
	return nil, c.bad("a string")
}

// number takes a number's literal.
func (c *cursor) number() ([]byte, error) {
	if _, err := c.space(); err != nil {
		return nil, err
	}
	start := c.i
	for ; c.i < len(c.b); c.i++ {
		switch b := c.b[c.i]; {
		case b >= '0' && b <= '9', b == '-', b == '+', b == '.', b == 'e', b == 'E':
		default:
			if c.i == start {
				return nil, c.bad("a number")
			}
			return c.b[start:c.i], nil
		}
	}
	return nil, errShort
}

// int takes a whole number; null counts as 0, and numbers in quotes are taken too.
func (c *cursor) int() (int64, error) {
	b, err := c.text(nil)
	if err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(b), 64)
		if ferr != nil || math.Abs(f) > 1e15 {
			return 0, fmt.Errorf("expected a whole number, found %.40q", b)
		}
		n = int64(f)
	}
	return n, nil
}

// bool takes true, false or null.
func (c *cursor) bool() (bool, error) {
	got, err := c.space()
	if err != nil {
		return false, err
	}
	return got == 't', c.skip()
}

// skip takes any value and forgets it. Strings are honoured and brackets counted; what is skipped is not checked further.
func (c *cursor) skip() error {
	got, err := c.space()
	if err != nil {
		return err
	}
	switch got {
	case '"':
		_, _, err := c.str()
		return err
	case '{', '[':
	case '}', ']', ',', ':':
		return c.bad("a value")
	default:
		for ; c.i < len(c.b); c.i++ {
			switch c.b[c.i] {
			case ',', '}', ']', ' ', '\n', '\r', '\t', '"', '{', '[', ':', '/':
				return nil
			}
		}
		return errShort
	}
	depth := 0
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case '"':
			if _, _, err := c.str(); err != nil {
				return err
			}
			continue
		case '{', '[':
			if depth++; depth > c.depth {
				return &depthError{c.depth}
			}
		case '}', ']':
			if depth--; depth == 0 {
				c.i++
				return nil
			}
		}
		c.i++
	}
	return errShort
}

// unescape appends raw, the inside of a JSON string, to dst with its escapes resolved. Broken escapes and lone surrogates
// become U+FFFD.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		n := bytes.IndexByte(raw[i:], '\\')
		if n < 0 {
			return append(dst, raw[i:]...)
		}
		dst = append(dst, raw[i:i+n]...)
		i += n + 1
		if i >= len(raw) {
			return utf8.AppendRune(dst, utf8.RuneError)
		}
		esc := raw[i]
		i++
		switch esc {
		case '"', '\\', '/':
			dst = append(dst, esc)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw[i:])
			if r < 0 {
				dst = utf8.AppendRune(dst, utf8.RuneError)
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low = hex4(raw[i+2:])
				}
				if whole := utf16.DecodeRune(r, low); whole != utf8.RuneError {
					r = whole
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	return dst
}

// hex4 reads four hexadecimal digits, or gives -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}

// maxOffset bounds offsets into a video and is far more than any platform keeps.
const maxOffset = 10_000 * time.Hour

var errOffset = errors.New("the offset is not a number of seconds within 10,000 hours")

// seconds reads a number of seconds with an optional fraction. fine is true where the fraction is not zero.
func seconds(b []byte) (d time.Duration, fine bool, err error) {
	s := b
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	var whole, nanos int64
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if whole = whole*10 + int64(s[i]-'0'); whole > int64(maxOffset/time.Second) {
			return 0, false, errOffset
		}
	}
	digits := i
	if i < len(s) && s[i] == '.' {
		i++
		for unit := int64(1e8); i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			nanos += unit * int64(s[i]-'0')
			unit /= 10
		}
	}
	if i != len(s) || digits == 0 { // exponents and anything stranger
		f, err := strconv.ParseFloat(string(s), 64)
		if err != nil || !(math.Abs(f) <= maxOffset.Seconds()) {
			return 0, false, errOffset
		}
		d = time.Duration(math.Round(f * 1e9))
	} else {
		d = time.Duration(whole*1e9 + nanos)
	}
	if negative {
		d = -d
	}
	return d, d%time.Second != 0, nil
}

// wallClock reads an RFC 3339 time, or one without a zone as UTC. Years before 2000 are the writers' "not set" and give
// false, as does anything else. The day may have one digit, as justlog writes it.
func wallClock(b []byte) (time.Time, bool) {
	if len(b) >= 18 && len(b) < 40 && b[7] == '-' && b[9] == ' ' {
		b = append(append(append(make([]byte, 0, 40), b[:8]...), '0'), b[8:]...)
	}
	if len(b) < 19 || len(b) > 40 {
		return time.Time{}, false
	}
	digits := func(from, to int) int {
		n := 0
		for _, c := range b[from:to] {
			if c < '0' || c > '9' {
				return -1
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := digits(0, 4), digits(5, 7), digits(8, 10)
	hour, minute, second := digits(11, 13), digits(14, 16), digits(17, 19)
	if b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' ||
		year < 2000 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}, false
	}
	i := 19
	nanos := int64(0)
	if i < len(b) && (b[i] == '.' || b[i] == ',') {
		i++
		for unit := int64(1e8); i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			nanos += unit * int64(b[i]-'0')
			unit /= 10
		}
	}
	unix := daysFromCivil(year, month, day)*86400 + int64(hour*3600+minute*60+second)
	switch zone := b[i:]; {
	case len(zone) == 0, len(zone) == 1 && (zone[0] == 'Z' || zone[0] == 'z'), string(zone) == " UTC":
	case (len(zone) == 6 && zone[3] == ':' || len(zone) == 5) && (zone[0] == '+' || zone[0] == '-'):
		h, m := digits(i+1, i+3), digits(len(b)-2, len(b))
		if h < 0 || h > 18 || m < 0 || m > 59 {
			return time.Time{}, false
		}
		east := int64(h*3600 + m*60)
		if zone[0] == '-' {
			east = -east
		}
		unix -= east
	default:
		return time.Time{}, false
	}
	return time.Unix(unix, nanos).UTC(), true
}

// daysFromCivil counts days from 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms", days_from_civil).
func daysFromCivil(year, month, day int) int64 {
	y := int64(year)
	if month <= 2 {
		y--
	}
	era := y / 400
	yoe := y - era*400
	mp := int64((month + 9) % 12)
	doy := (153*mp+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}
