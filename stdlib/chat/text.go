package chat

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"banter/internal/problem"
)

// Logs with one message a line:
//
//	[0:01:02] name: text                     TwitchDownloader, relative times; Chatterino, times of day below a head
//	[2024-05-01 20:01:02 UTC] name: text     TwitchDownloader, wall clock; .000 before UTC in the full form
//	[00:01:02] <name> text                   tcd; the name may be led by a badge's sign, and bodies may run over lines
//	[2024-05-1 20:01:02] #channel name: text  justlog; the day of rustlog has two digits always
//	@tags :name!name@host PRIVMSG #channel :text   IRC

// textLine is one such line taken apart.
type textLine struct {
	offset time.Duration
	fine   bool // offset has a fraction
	sent   time.Time
	rest   []byte // behind the bracket
}

// parseStamp reads the bracket that a line begins with.
func parseStamp(line []byte) (l textLine, ok bool) {
	if len(line) < 6 || line[0] != '[' {
		return l, false
	}
	end := bytes.IndexByte(line[:min(len(line), 48)], ']')
	if end < 0 || end+1 >= len(line) || line[end+1] != ' ' {
		return l, false
	}
	stamp := line[1:end]
	l.rest = line[end+2:]
	if l.sent, ok = wallClock(stamp); ok {
		return l, true
	}
	days := time.Duration(0)
	if number, clock, found := bytes.Cut(stamp, []byte(", ")); found { // "1 day, 2:03:04", as Python writes it
		number, ok = bytes.CutSuffix(bytes.TrimSuffix(number, []byte("s")), []byte(" day"))
		n, err := strconv.ParseUint(string(number), 10, 8)
		if !ok || err != nil {
			return l, false
		}
		days, stamp = time.Duration(n)*24*time.Hour, clock
	}
	l.offset, l.fine, ok = clockTime(stamp)
	l.offset += days
	return l, ok
}

// unwrap adds the days that TwitchDownloader's older versions leave out: their hours begin anew at 24.
func (p *pass) unwrap(stamp time.Duration) time.Duration {
	if p.lastStamp >= 23*time.Hour && p.lastStamp < 24*time.Hour && stamp >= 0 && stamp < time.Hour {
		p.days += 24 * time.Hour
	}
	p.lastStamp = stamp
	return stamp + p.days
}

// clockTime reads h:mm:ss or m:ss, with a fraction perhaps, negative perhaps.
func clockTime(b []byte) (d time.Duration, fine, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	last := bytes.LastIndexByte(b, ':')
	if last < 1 {
		return 0, false, false
	}
	sec := b[last+1:]
	if len(sec) < 2 || sec[0] < '0' || sec[0] > '5' || sec[1] < '0' || sec[1] > '9' || len(sec) > 2 && sec[2] != '.' || len(sec) == 3 {
		return 0, false, false
	}
	d, fine, err := seconds(sec)
	if err != nil {
		return 0, false, false
	}
	unit := time.Minute
	for fields := 0; last > 0; fields++ {
		b = b[:last]
		last = bytes.LastIndexByte(b, ':')
		n := int64(0)
		digits := b[last+1:]
		if len(digits) == 0 || len(digits) > 5 || fields > 1 {
			return 0, false, false
		}
		for _, c := range digits {
			if c < '0' || c > '9' {
				return 0, false, false
			}
			n = n*10 + int64(c-'0')
		}
		if d += time.Duration(n) * unit; d > maxOffset {
			return 0, false, false
		}
		unit = time.Hour
	}
	if negative {
		d = -d
	}
	return d, fine, true
}

// style is how a line goes on behind its time.
type style uint8

const (
	colonStyle   style = iota // name: text
	angleStyle                // <name> text, or *name text for /me
	channelStyle              // #channel name: text
)

// sniffLines finds which of the line formats most of the first lines are in.
func (p *pass) sniffLines(head []byte) (reader, error) {
	var irc, colon, angle, channel, bare, seen int
	for line := range bytes.Lines(head) {
		if seen == 200 {
			break
		}
		if line[len(line)-1] != '\n' && len(head) >= sniffed {
			break // cut by the window
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		seen++
		if l, ok := parseStamp(line); ok {
			switch {
			case len(l.rest) > 0 && l.rest[0] == '#' && !l.sent.IsZero():
				channel++
			case len(l.rest) > 0 && (l.rest[0] == '<' || l.rest[0] == '*'):
				angle++
			default:
				colon++
			}
			continue
		}
		if l, ok := parseIRC(line); ok && (line[0] == '@' || line[0] == ':' || string(l.command) == "PING") {
			irc++
			continue
		}
		if name, _, ok := bytes.Cut(line, []byte(": ")); ok && len(name) < 40 && !bytes.ContainsAny(name, " \t") {
			bare++
		}
	}
	switch most := max(irc, colon, angle, channel); {
	case most == 0 && bare > seen/2 && seen > 1:
		return nil, &problem.Error{Err: errors.New("this chat log has no times, so its messages cannot be placed"), Fix: "download it again with timestamps, or as JSON"}
	case most == 0:
		return nil, &problem.Error{Err: fmt.Errorf("not a chat log of any known format: it begins with %q", shorten(head, 60)),
			Fix: "give a log of TwitchDownloader, yt-dlp, chat-downloader, tcd, justlog, IRC or Kick"}
	case most == irc:
		return readIRC, nil
	case most == channel:
		return readText(JustlogText, channelStyle), nil
	case most == angle:
		return readText(TCD, angleStyle), nil
	}
	return readText(TwitchDownloaderText, colonStyle), nil
}

// shorten gives the first line of b, cut to n bytes at a character's edge.
func shorten(b []byte, n int) string {
	b, _, _ = bytes.Cut(b, []byte("\n"))
	if len(b) > n {
		b = b[:n]
		for len(b) > 0 && !utf8.Valid(b) && len(b) > n-4 {
			b = b[:len(b)-1]
		}
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
}

// loggingSince reads the head of a log by Chatterino, "# Start logging at 2024-05-01 20:00:00 CEST", whose lines hold times
// of day. It gives the day, as if its zone were UTC, or zero for other logs.
func loggingSince(line []byte) time.Time {
	rest, ok := bytes.CutPrefix(line, []byte("# Start logging at "))
	if !ok || len(rest) < 19 {
		return time.Time{}
	}
	start, ok := wallClock(rest[:19])
	if !ok {
		return time.Time{}
	}
	return start.Truncate(24 * time.Hour)
}

var (
	errNoStamp  = errors.New("the line does not begin with a time in brackets")
	errNoAuthor = errors.New("no name before the text")
)

// readText reads lines of one style. In tcd's, a line without a time goes on with the message before it.
func readText(f Format, s style) reader {
	return func(p *pass) error {
		p.log.Source.Format = f
		waiting := false // p.msg is complete but for lines that may follow
		var body []byte  // its text so far
		var day time.Time
		var last time.Duration // time of day of the line before
		flush := func() error {
			if !waiting {
				return nil
			}
			waiting = false
			p.msg.Text = trimText(plainText(body))
			return p.accept()
		}
		for {
			position, number := p.w.offset(), p.w.line()
			line, some, err := p.w.lineBytes()
			if err != nil {
				return err
			}
			if !some {
				return flush()
			}
			if since := loggingSince(line); !since.IsZero() && (number == 1 || !day.IsZero()) { // or logging began again
				day, last = since, 0
			}
			l, ok := parseStamp(line)
			if ok && !day.IsZero() && l.sent.IsZero() {
				// Times of day. Going far back means that midnight has passed.
				if l.offset+12*time.Hour < last {
					day = day.AddDate(0, 0, 1)
				}
				last = l.offset
				l.sent, l.offset = day.Add(l.offset), 0
				l.rest = bytes.TrimLeft(l.rest, " ") // of which it writes two before a name
			}
			switch {
			case !ok && s == angleStyle && waiting && len(body)+len(line) < p.limits.Record:
				body = append(append(body, ' '), line...)
				continue
			case len(line) == 0, line[0] == '#' && (number == 1 || !day.IsZero()): // a comment at the top, or Chatterino's
				continue
			}
			if err := flush(); err != nil {
				return err
			}
			if !ok {
				if err := p.malformed(position, number, errNoStamp); err != nil {
					return err
				}
				continue
			}
			if s == colonStyle && l.sent.IsZero() {
				l.offset = p.unwrap(l.offset)
			}
			text, err := p.textMessage(l, s, p.begin(position))
			if errors.Is(err, errNoAuthor) && (s == channelStyle && bytes.HasPrefix(l.rest, []byte("#")) || s == colonStyle && !day.IsZero()) {
				p.textNotice(l.rest, moment{l.sent, position})
				p.ignored()
				continue
			}
			if err == nil && !day.IsZero() && !p.chatterinoName(&p.msg.Author) {
				p.ignored()
				continue
			}
			// rustlog has the name before the notice once more: "name: name has been banned".
			if err == nil && s == channelStyle && bytes.HasPrefix(text, append([]byte(p.msg.Author.Login), " has been "...)) && p.textNotice(text, moment{l.sent, position}) {
				p.ignored()
				continue
			}
			if err != nil {
				if err := p.malformed(position, number, err); err != nil {
					return err
				}
				continue
			}
			body, waiting = append(body[:0], text...), true
		}
	}
}

// textMessage fills m but for its text, which it gives back.
func (p *pass) textMessage(l textLine, s style, m *Message) ([]byte, error) {
	m.Offset, m.Sent = l.offset, l.sent
	if l.fine {
		m.Precision = time.Millisecond
	}
	if !l.sent.IsZero() {
		m.Origin = FromSent
	}
	rest := l.rest
	var name, text []byte
	switch s {
	case angleStyle:
		switch {
		case len(rest) > 0 && rest[0] == '<':
			var found bool
			if name, text, found = bytes.Cut(rest[1:], []byte("> ")); !found {
				if name, found = bytes.CutSuffix(rest[1:], []byte(">")); !found {
					return nil, errNoAuthor
				}
			}
		case len(rest) > 0 && rest[0] == '*':
			name, text, _ = bytes.Cut(rest[1:], []byte(" "))
			m.Action = true
			if bytes.Count(text, []byte("]")) > bytes.Count(text, []byte("[")) { // tcd's own format ends with one too many
				text = bytes.TrimSuffix(text, []byte("]"))
			}
		default:
			return nil, errNoAuthor
		}
		for len(name) > 1 { // tcd's signs for badges
			badge := tcdBadge(name[0])
			if badge == "" {
				break
			}
			m.Author.badge(badge, "")
			name = name[1:]
		}
	case channelStyle:
		channel, behind, found := bytes.Cut(rest, []byte(" "))
		if !found || len(channel) < 2 || channel[0] != '#' {
			return nil, errNoAuthor
		}
		if p.log.Source.Streamer == "" {
			p.log.Source.Streamer = plainText(channel[1:])
		}
		if name, text, found = bytes.Cut(behind, []byte(": ")); !found || bytes.IndexByte(name, ' ') >= 0 {
			return nil, errNoAuthor // "name has been timed out for 600 seconds"
		}
	default:
		var found bool
		if name, text, found = bytes.Cut(rest, []byte(": ")); !found {
			if name, found = bytes.CutSuffix(rest, []byte(":")); !found {
				return nil, errNoAuthor
			}
		}
	}
	if len(name) == 0 || len(name) > 100 {
		return nil, errNoAuthor
	}
	p.setName(&m.Author, name)
	return text, nil
}

// textNotice reads what justlog, rustlog and Chatterino write of moderators: "name has been banned", "name has been timed out
// for 600 seconds", "chat has been cleared", and justlog's "has been banned" of nobody, which is a cleared chat too. It says
// whether notice is such.
func (p *pass) textNotice(notice []byte, at moment) bool {
	if bytes.HasPrefix(notice, []byte("#")) {
		_, notice, _ = bytes.Cut(notice, []byte(" "))
	}
	name, done, found := bytes.Cut(notice, []byte(" has been "))
	if !found || bytes.IndexByte(name, ' ') >= 0 {
		return false
	}
	switch what, _, _ := strings.Cut(string(done), " "); {
	case strings.HasPrefix(what, "cleared"), len(name) == 0 && string(done) == "banned":
		p.facts.removed.everything(at)
	case len(name) > 0 && (strings.HasPrefix(what, "banned") || what == "permanently" || what == "timed"):
		p.facts.removed.author(string(bytes.ToLower(name)), at)
	default:
		return false
	}
	return true
}

// setName fills an author of whom only the name is known. Names that are not ASCII come as "Name (login)" at times.
func (p *pass) setName(a *Author, name []byte) {
	login := name
	if open := bytes.LastIndex(name, []byte(" (")); open > 0 && name[len(name)-1] == ')' {
		name, login = name[:open], name[open+2:len(name)-1]
	}
	a.Name = p.names.string(name)
	a.Login = p.names.string(bytes.ToLower(login))
	a.ID = a.Login
}

// chatterinoName parts a name as Chatterino writes it: the login, behind the display name where that is in another script.
// It says false for what is no name but the platform's words, with a colon in them.
func (p *pass) chatterinoName(a *Author) bool {
	name, login, both := strings.Cut(a.Name, " ")
	if !both {
		return true
	}
	if strings.Contains(login, " ") || utf8.RuneCountInString(name) == len(name) {
		return false
	}
	a.Name, a.Login = p.names.string([]byte(name)), p.names.string([]byte(strings.ToLower(login)))
	a.ID = a.Login
	return true
}

// tcdBadge names the badge that tcd's irc style writes as a sign before the name.
func tcdBadge(sign byte) string {
	switch sign {
	case '~':
		return "broadcaster"
	case '@':
		return "moderator"
	case '%':
		return "subscriber"
	case '+':
		return "premium"
	case '$':
		return "bits"
	case '&':
		return "staff"
	case '!':
		return "admin"
	case '*':
		return "global_mod"
	}
	return ""
}
