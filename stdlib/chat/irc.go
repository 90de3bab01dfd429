package chat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IRC lines with Twitch's tags, as justlog and chat bots keep them, bare or inside justlog's JSON.

var (
	errNoTime = errors.New("no tag tmi-sent-ts or time, so the message has no time")
	errNotIRC = errors.New("not an IRC line")
)

// ircLine is one line taken apart (RFC 1459 with IRCv3 message tags).
type ircLine struct {
	tags     []byte
	nick     []byte
	command  []byte
	channel  []byte
	trailing []byte
}

func parseIRC(line []byte) (l ircLine, ok bool) {
	if len(line) > 0 && line[0] == '@' {
		tags, rest, found := bytes.Cut(line[1:], []byte(" "))
		if !found {
			return l, false
		}
		l.tags, line = tags, bytes.TrimLeft(rest, " ")
	}
	if len(line) > 0 && line[0] == ':' {
		prefix, rest, found := bytes.Cut(line[1:], []byte(" "))
		if !found {
			return l, false
		}
		l.nick, _, _ = bytes.Cut(prefix, []byte("!"))
		line = bytes.TrimLeft(rest, " ")
	}
	var params []byte
	l.command, params, _ = bytes.Cut(line, []byte(" "))
	if len(l.command) < 3 || len(bytes.Trim(l.command, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")) > 0 {
		return l, false
	}
	middle, trailing, found := bytes.Cut(params, []byte(" :"))
	if !found && len(params) > 0 && params[0] == ':' {
		middle, trailing, found = nil, params[1:], true
	}
	l.channel, middle, _ = bytes.Cut(middle, []byte(" "))
	if !found { // the last parameter needs no colon if it is one word
		trailing = bytes.TrimSpace(middle[bytes.LastIndexByte(middle, ' ')+1:])
	}
	l.trailing = trailing
	return l, true
}

// tag gives a tag's value, unescaped.
func (l *ircLine) tag(name string) string {
	for rest := l.tags; len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte(";"))
		key, value, _ := bytes.Cut(one, []byte("="))
		if string(key) == name {
			return ircUnescape(value)
		}
	}
	return ""
}

var ircEscapes = strings.NewReplacer(`\:`, ";", `\s`, " ", `\\`, `\`, `\r`, " ", `\n`, " ")

func ircUnescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return plainText(b)
	}
	return plainText([]byte(strings.TrimSuffix(ircEscapes.Replace(string(b)), `\`)))
}

// readIRC reads raw lines.
func readIRC(p *pass) error {
	p.log.Source.Format = IRC
	for {
		position, number := p.w.offset(), p.w.line()
		line, some, err := p.w.lineBytes()
		if err != nil || !some {
			return err
		}
		if len(line) == 0 {
			continue
		}
		switch err := p.ircMessage(line, p.begin(position)); {
		case err == nil:
			if err := p.accept(); err != nil {
				return err
			}
		case errors.Is(err, errIgnored):
			p.ignored()
		default:
			if err := p.malformed(position, number, err); err != nil {
				return err
			}
		}
	}
}

// ircMessage fills m from a line that carries a message.
func (p *pass) ircMessage(line []byte, m *Message) error {
	l, ok := parseIRC(line)
	if !ok {
		return errNotIRC
	}
	switch string(l.command) {
	case "PRIVMSG":
	case "USERNOTICE":
		m.Notice = l.tag("msg-id")
		if source := l.tag("source-msg-id"); source != "" { // of another channel, as a "sharedchatnotice"
			m.Notice = source
		}
		if m.Notice == "" {
			m.Notice = "notice"
		}
		if len(l.trailing) == 0 { // the platform's words only
			return errIgnored
		}
	case "CLEARCHAT":
		sent, _ := l.sent() // zero where there is none
		at := moment{sent, m.Position}
		switch id, login := l.tag("target-user-id"), bytes.ToLower(l.trailing); {
		case id != "":
			p.facts.removed.author(id, at)
		case len(login) > 0:
			p.facts.removed.author(string(login), at)
		default:
			p.facts.removed.everything(at)
		}
		return errIgnored
	case "CLEARMSG":
		p.facts.removed.message(l.tag("target-msg-id"))
		return errIgnored
	default:
		return errIgnored
	}
	if p.log.Source.Streamer == "" {
		p.log.Source.Streamer = plainText(bytes.TrimPrefix(l.channel, []byte("#")))
	}
	m.ID = l.tag("id")
	m.ReplyTo = l.tag("reply-parent-msg-id")
	bits, _ := strconv.Atoi(l.tag("bits"))
	m.Bits = max(bits, 0)
	if source := l.tag("source-room-id"); source != l.tag("room-id") {
		m.Room = source
	}
	a := &m.Author
	a.ID, a.Name = p.names.string([]byte(l.tag("user-id"))), p.names.string([]byte(l.tag("display-name")))
	login := l.tag("login")
	if login == "" {
		login = string(l.nick)
	}
	a.Login = p.names.string(bytes.ToLower([]byte(login)))
	if a.ID == "" {
		a.ID = a.Login
	}
	if a.Name == "" {
		a.Name = a.Login
	}
	for badge := range strings.SplitSeq(l.tag("badges"), ",") {
		name, version, _ := strings.Cut(badge, "/")
		a.badge(name, version)
	}
	if l.tag("mod") == "1" {
		a.Roles |= Moderator
	}
	if l.tag("subscriber") == "1" {
		a.Roles |= Subscriber
	}
	if l.tag("vip") == "1" {
		a.Roles |= VIP
	}
	body := l.trailing
	if inner, ok := bytes.CutPrefix(body, []byte("\x01ACTION ")); ok {
		body, m.Action = bytes.TrimSuffix(inner, []byte("\x01")), true
	}
	m.Text = plainText(body)
	p.ircEmotes(l.tag("emotes"), m)
	m.Text = trimText(m.Text)

	var err error
	m.Sent, err = l.sent()
	m.Origin, m.Precision = FromSent, time.Millisecond
	return err
}

// sent is when the platform took the line, or else when a server or program wrote that it had it.
func (l *ircLine) sent() (time.Time, error) {
	for _, name := range [...]string{"tmi-sent-ts", "rm-received-ts"} {
		stamp := l.tag(name)
		if stamp == "" {
			continue
		}
		ms, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || ms < 0 || ms > 1e14 {
			return time.Time{}, fmt.Errorf("%s is %.40q", name, stamp)
		}
		return time.UnixMilli(ms).UTC(), nil
	}
	if sent, ok := wallClock([]byte(l.tag("time"))); ok { // IRCv3's server-time
		return sent, nil
	}
	return time.Time{}, errNoTime
}

// ircEmotes reads the emotes tag, id:first-last,first-last/id:..., in code points, inclusive at both ends.
func (p *pass) ircEmotes(tag string, m *Message) {
	if tag == "" {
		return
	}
	for one := range strings.SplitSeq(tag, "/") {
		id, spans, _ := strings.Cut(one, ":")
		for span := range strings.SplitSeq(spans, ",") {
			first, last, _ := strings.Cut(span, "-")
			begin, err1 := strconv.Atoi(first)
			end, err2 := strconv.Atoi(last)
			start, stop, ok := codePointSpan(m.Text, begin, end+1)
			if err1 != nil || err2 != nil || !ok {
				p.scratch.lost++
				continue
			}
			m.Emotes = append(m.Emotes, Emote{ID: id, Name: m.Text[start:stop], Provider: "twitch", Start: start, End: stop})
		}
	}
}

// justlogItem is a message as justlog's programming interface answers: the raw line, and the same taken apart.
type justlogItem struct {
	Raw         string            `json:"raw"`
	Text        string            `json:"text"`
	Username    string            `json:"username"`
	DisplayName string            `json:"displayName"`
	Channel     string            `json:"channel"`
	Timestamp   string            `json:"timestamp"`
	ID          string            `json:"id"`
	Type        *int              `json:"type"`
	Tags        map[string]string `json:"tags"`
}

// Kinds of justlogItem.
const (
	justlogMessage   = 1
	justlogClearChat = 2
	justlogNotice    = 4
	justlogClearMsg  = 13
)

func (p *pass) justlogRecord(c *cursor, m *Message) error {
	var item justlogItem
	if err := c.decode(&item); err != nil {
		return err
	}
	if item.Raw != "" {
		return p.ircMessage([]byte(item.Raw), m)
	}
	// Rebuild the line from its parts, so that one reader of tags does for both.
	var line bytes.Buffer
	sep := byte('@')
	tag := func(k, v string) {
		line.WriteByte(sep)
		line.WriteString(k + "=" + ircEscape.Replace(v))
		sep = ';'
	}
	keys := sortedKeys(item.Tags)
	for _, k := range keys {
		tag(k, item.Tags[k])
	}
	if item.Tags["id"] == "" && item.ID != "" {
		tag("id", item.ID)
	}
	if item.Tags["display-name"] == "" && item.DisplayName != "" {
		tag("display-name", item.DisplayName)
	}
	if item.Tags["tmi-sent-ts"] == "" {
		sent, ok := wallClock([]byte(item.Timestamp))
		if !ok {
			return fmt.Errorf("timestamp is %.40q, not a time", item.Timestamp)
		}
		tag("tmi-sent-ts", strconv.FormatInt(sent.UnixMilli(), 10))
	}
	command := "PRIVMSG"
	switch {
	case item.Type == nil && item.Tags["target-msg-id"] != "": // the short form of the interface leaves the kind out
		command = "CLEARMSG"
	case item.Type == nil && item.Tags["target-user-id"] != "":
		command = "CLEARCHAT"
	case item.Type == nil && item.Tags["system-msg"] != "":
		command = "USERNOTICE"
	case item.Type != nil:
		switch *item.Type {
		case justlogMessage:
		case justlogClearChat:
			command, item.Text = "CLEARCHAT", item.Username
		case justlogNotice:
			command = "USERNOTICE"
		case justlogClearMsg:
			command = "CLEARMSG"
		default:
			return errIgnored
		}
	}
	if command == "USERNOTICE" { // its text begins with what the platform says; some servers escape that in the tags
		said := item.Tags["system-msg"]
		item.Text = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(item.Text, said), ircUnescape([]byte(said))))
	}
	nick := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '!' || r == '@' {
			return -1
		}
		return r
	}, item.Username)
	fmt.Fprintf(&line, " :%s!%s@%s %s #%s :%s", nick, nick, nick, command, strings.TrimPrefix(strings.ReplaceAll(item.Channel, " ", ""), "#"), item.Text)
	return p.ircMessage(line.Bytes(), m)
}

var ircEscape = strings.NewReplacer(";", `\:`, " ", `\s`, `\`, `\\`, "\r", `\r`, "\n", `\n`)

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		if k != "" && !strings.ContainsAny(k, " ;=") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
