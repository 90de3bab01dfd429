package chat

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TwitchDownloader's JSON, in all versions of its format, and what looks like it: the comments of Twitch's v5 API as other
// tools kept them, with or without the surrounding object.
//
//	{FileInfo, streamer, video, comments: [{_id, created_at, content_offset_seconds, commenter, message}], embeddedData}

// readTwitchDownloader reads a document that holds comments.
func readTwitchDownloader(p *pass) error {
	src := &p.log.Source
	src.Format = TwitchDownloaderJSON
	return p.truncated(p.members(func(key string) error {
		switch key {
		case "comments":
			return p.elements(func() error { return p.record(p.twitchComment) })
		case "FileInfo":
			return p.meta(func(c *cursor) error { return fileInfo(c, src) })
		case "video":
			return p.meta(func(c *cursor) error { return twitchVideo(c, src) })
		case "streamer":
			return p.meta(func(c *cursor) error { return twitchStreamer(c, src) })
		case "embeddedData", "emotes": // the latter in files before 1.1
			return p.twitchEmbedded()
		}
		return p.discard()
	}))
}

// readTwitchComments reads a bare array of comments.
func readTwitchComments(p *pass) error {
	p.log.Source.Format = TwitchDownloaderJSON
	return p.truncated(p.elements(func() error { return p.record(p.twitchComment) }))
}

// meta reads a small value with parse; one that is not as expected is passed over and counted.
func (p *pass) meta(parse func(c *cursor) error) error {
	if _, err := p.peek(); err != nil {
		return p.ended(err)
	}
	position := p.w.offset()
	if err := p.whole(parse); err != nil {
		return p.passOver(err, position)
	}
	return nil
}

func fileInfo(c *cursor, src *Source) error {
	return c.members(func(key []byte) error {
		if string(key) != "Version" {
			return c.skip()
		}
		var part [3]int64
		err := c.members(func(key []byte) (err error) {
			switch string(key) {
			case "Major":
				part[0], err = c.int()
			case "Minor":
				part[1], err = c.int()
			case "Patch":
				part[2], err = c.int()
			default:
				err = c.skip()
			}
			return err
		})
		src.Version = fmt.Sprintf("%d.%d.%d", part[0], part[1], part[2])
		return err
	})
}

func twitchVideo(c *cursor, src *Source) error {
	return c.members(func(key []byte) error {
		switch string(key) {
		case "id", "_id":
			return c.string(&src.StreamID)
		case "title":
			return c.string(&src.Title)
		case "user_name", "user_login":
			if src.Streamer == "" {
				return c.string(&src.Streamer)
			}
		case "created_at":
			b, err := c.text(nil)
			if t, ok := wallClock(b); ok {
				src.Created = t
			}
			return err
		case "start":
			return c.seconds(&src.Start)
		case "end":
			return c.seconds(&src.End)
		case "length":
			return c.seconds(&src.Length)
		case "duration": // "48m58s"
			b, err := c.text(nil)
			if d, perr := time.ParseDuration(string(b)); perr == nil && d > 0 && d < maxOffset {
				src.Length = d
			}
			return err
		}
		return c.skip()
	})
}

func twitchStreamer(c *cursor, src *Source) error {
	login := ""
	err := c.members(func(key []byte) error {
		switch string(key) {
		case "name":
			return c.string(&src.Streamer)
		case "login":
			return c.string(&login)
		}
		return c.skip()
	})
	if login != "" {
		src.Streamer = login
	}
	return err
}

// twitchEmbedded reads the emotes that the file brings along. Their pictures are passed over.
func (p *pass) twitchEmbedded() error {
	if b, err := p.peek(); err != nil {
		return p.ended(err)
	} else if b != '{' {
		return p.discard()
	}
	return p.members(func(key string) error {
		if key != "thirdParty" {
			return p.discard()
		}
		return p.elements(func() error {
			return p.meta(func(c *cursor) error {
				var e EmoteCode
				var url string
				err := c.members(func(key []byte) error {
					switch string(key) {
					case "id":
						return c.string(&e.ID)
					case "name":
						return c.string(&e.Name)
					case "url":
						return c.string(&url)
					}
					return c.skip()
				})
				if err == nil {
					e.Provider = thirdParty(e.ID, url)
					p.facts.emotes.add(e)
				}
				return err
			})
		})
	})
}

// members takes an object and calls member for each of its keys; null counts as an empty object.
func (c *cursor) members(member func(key []byte) error) error {
	some, err := c.open('{')
	for first := true; some; first = false {
		if some, err = c.next('}', first); err != nil || !some {
			return err
		}
		key, err := c.key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return err
}

// string takes a string or number as plain text.
func (c *cursor) string(to *string) error {
	b, err := c.text(nil)
	if err == nil {
		*to = plainText(b)
	}
	return err
}

// seconds takes a number of seconds that cannot be negative; what is no such number leaves to as it is.
func (c *cursor) seconds(to *time.Duration) error {
	b, err := c.text(nil)
	if d, _, perr := seconds(b); err == nil && perr == nil && d > 0 {
		*to = d
	}
	return err
}

var (
	errNoOffset  = errors.New("content_offset_seconds is missing")
	errNoMessage = errors.New("message is missing")
)

// twitchComment reads one element of comments. It is written out flat because most bytes that Banter ever reads pass
// through it.
func (p *pass) twitchComment(c *cursor, m *Message) error {
	hasOffset, hasMessage := false, false
	some, err := c.open('{')
	if err != nil {
		return err
	}
	if !some {
		return errNoMessage
	}
	for first := true; ; first = false {
		more, err := c.next('}', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		key, err := c.key()
		if err != nil {
			return err
		}
		switch string(key) {
		case "_id":
			b, err := c.text(p.scratch.value)
			if err != nil {
				return err
			}
			m.ID = plainText(b)
		case "created_at":
			b, err := c.text(nil)
			if err != nil {
				return err
			}
			m.Sent, _ = wallClock(b)
		case "content_offset_seconds":
			b, err := c.text(nil)
			if err != nil {
				return err
			}
			if len(b) == 0 {
				continue
			}
			fine := false
			if m.Offset, fine, err = seconds(b); err != nil {
				return err
			}
			if fine {
				m.Precision = time.Millisecond
			}
			hasOffset = true
		case "commenter":
			if err := p.twitchCommenter(c, &m.Author); err != nil {
				return err
			}
		case "message":
			if hasMessage, err = p.twitchMessage(c, m); err != nil {
				return err
			}
		default:
			if err := c.skip(); err != nil {
				return err
			}
		}
	}
	if !hasMessage {
		return errNoMessage
	}
	if !hasOffset {
		if m.Sent.IsZero() {
			return errNoOffset
		}
		m.Origin = FromSent
	}
	if m.Author.ID == "" {
		m.Author.ID = m.Author.Login
	}
	return nil
}

func (p *pass) twitchCommenter(c *cursor, a *Author) error {
	some, err := c.open('{')
	for first := true; some; first = false {
		if some, err = c.next('}', first); err != nil || !some {
			break
		}
		key, err := c.key()
		if err != nil {
			return err
		}
		var to *string
		switch string(key) {
		case "_id":
			to = &a.ID
		case "name":
			to = &a.Login
		case "display_name":
			to = &a.Name
		default:
			if err := c.skip(); err != nil {
				return err
			}
			continue
		}
		b, err := c.text(p.scratch.value)
		if err != nil {
			return err
		}
		*to = p.names.string(b)
	}
	return err
}

func (p *pass) twitchMessage(c *cursor, m *Message) (bool, error) {
	some, err := c.open('{')
	if err != nil || !some {
		return false, err
	}
	s := &p.scratch
	s.text, s.pieces, s.lost = s.text[:0], s.pieces[:0], 0
	m.Emotes, m.Author.Badges, m.Author.Roles = nil, nil, 0 // should a record hold two messages, the last one counts
	var body []byte
	var emoticons int // where the array of emoticons starts, for files without fragments
	fragments := false
	for first := true; ; first = false {
		more, err := c.next('}', first)
		if err != nil {
			return false, err
		}
		if !more {
			break
		}
		key, err := c.key()
		if err != nil {
			return false, err
		}
		switch string(key) {
		case "body":
			if body, err = c.text(s.body); err != nil {
				return false, err
			}
		case "fragments":
			if fragments, err = p.twitchFragments(c); err != nil {
				return false, err
			}
		case "emoticons":
			if _, err := c.space(); err != nil {
				return false, err
			}
			emoticons = c.i
			if err := c.skip(); err != nil {
				return false, err
			}
		case "user_badges":
			if err := p.twitchBadges(c, &m.Author); err != nil {
				return false, err
			}
		case "bits_spent":
			n, err := c.int()
			if err != nil {
				return false, err
			}
			m.Bits = int(max(n, 0))
		case "is_action":
			if m.Action, err = c.bool(); err != nil {
				return false, err
			}
		case "user_notice_params":
			if err := c.members(func(key []byte) error {
				if k := string(key); k == "msg-id" || k == "msg_id" {
					return c.string(&m.Notice)
				}
				return c.skip()
			}); err != nil {
				return false, err
			}
		default:
			if err := c.skip(); err != nil {
				return false, err
			}
		}
	}
	switch {
	case fragments && (len(body) == 0 || bytes.Equal(body, s.text)):
		m.Text = p.fromPieces(m, "twitch")
	case fragments:
		m.Text = plainText(body)
		p.searchPieces(m, "twitch")
	default:
		m.Text = plainText(body)
		if emoticons > 0 {
			if err := p.twitchEmoticons(&cursor{b: c.b[:c.i], i: emoticons, depth: c.depth}, m); err != nil {
				return false, err
			}
		}
	}
	m.Text = trimText(m.Text)
	return true, nil
}

// twitchFragments reads the pieces of a text into scratch.
func (p *pass) twitchFragments(c *cursor) (bool, error) {
	s := &p.scratch
	some, err := c.open('[')
	if err != nil || !some {
		return false, err
	}
	for first := true; ; first = false {
		more, err := c.next(']', first)
		if err != nil {
			return false, err
		}
		if !more {
			return true, nil
		}
		pc := piece{start: len(s.text)}
		some, err := c.open('{')
		for first := true; some; first = false {
			if some, err = c.next('}', first); err != nil || !some {
				break
			}
			key, err := c.key()
			if err != nil {
				return false, err
			}
			switch string(key) {
			case "text":
				raw, err := c.text(nil)
				if err != nil {
					return false, err
				}
				s.text = append(s.text, raw...)
			case "emoticon":
				inside, err := c.open('{')
				for first := true; inside; first = false {
					if inside, err = c.next('}', first); err != nil || !inside {
						break
					}
					key, err := c.key()
					if err != nil {
						return false, err
					}
					if string(key) == "emoticon_id" {
						pc.emote, err = c.text(nil)
					} else {
						err = c.skip()
					}
					if err != nil {
						return false, err
					}
				}
				if err != nil {
					return false, err
				}
			default:
				if err := c.skip(); err != nil {
					return false, err
				}
			}
		}
		if err != nil {
			return false, err
		}
		pc.end = len(s.text)
		if pc.emote != nil {
			s.pieces = append(s.pieces, pc)
		}
	}
}

// fromPieces makes the message's text and emotes of the pieces in scratch.
func (p *pass) fromPieces(m *Message, provider string) string {
	s := &p.scratch
	text := plainText(s.text)
	if len(s.pieces) == 0 {
		return text
	}
	m.Emotes = make([]Emote, 0, len(s.pieces))
	same := len(text) == len(s.text)
	for _, pc := range s.pieces {
		start, end := pc.start, pc.end
		if !same { // a control character or broken byte changed its length: count what stands before
			start = len(plainText(s.text[:pc.start]))
			end = start + len(plainText(s.text[pc.start:pc.end]))
		}
		if end > start && end <= len(text) {
			m.Emotes = append(m.Emotes, Emote{ID: p.names.string(pc.emote), Name: p.names.string([]byte(text[start:end])), Provider: provider, Start: start, End: end})
		}
	}
	return text
}

// searchPieces finds the emotes of scratch one after the other in m.Text, for logs whose pieces do not add up to it.
func (p *pass) searchPieces(m *Message, provider string) {
	from := 0
	for _, pc := range p.scratch.pieces {
		name := plainText(p.scratch.text[pc.start:pc.end])
		at := strings.Index(m.Text[from:], name)
		if name == "" || at < 0 {
			p.scratch.lost++
			continue
		}
		m.Emotes = append(m.Emotes, Emote{ID: p.names.string(pc.emote), Name: name, Provider: provider, Start: from + at, End: from + at + len(name)})
		from += at + len(name)
	}
}

// twitchEmoticons reads spans of emotes for files that have no fragments.
func (p *pass) twitchEmoticons(c *cursor, m *Message) error {
	some, err := c.open('[')
	for first := true; some; first = false {
		if some, err = c.next(']', first); err != nil || !some {
			break
		}
		var id string
		begin := int64(-1)
		err := c.members(func(key []byte) (err error) {
			switch string(key) {
			case "_id":
				err = c.string(&id)
			case "begin":
				begin, err = c.int()
			default:
				err = c.skip()
			}
			return err
		})
		if err != nil {
			return err
		}
		start, end, ok := wordAt(m.Text, int(begin))
		if !ok {
			p.scratch.lost++
			continue
		}
		m.Emotes = append(m.Emotes, Emote{ID: id, Name: m.Text[start:end], Provider: "twitch", Start: start, End: end})
	}
	return err
}

func (p *pass) twitchBadges(c *cursor, a *Author) error {
	some, err := c.open('[')
	for first := true; some; first = false {
		if some, err = c.next(']', first); err != nil || !some {
			break
		}
		var name, version []byte
		inside, err := c.open('{')
		for first := true; inside; first = false {
			if inside, err = c.next('}', first); err != nil || !inside {
				break
			}
			key, err := c.key()
			if err != nil {
				return err
			}
			switch string(key) {
			case "_id":
				name, err = c.text(nil)
			case "version":
				version, err = c.text(nil)
			default:
				err = c.skip()
			}
			if err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if len(name) == 0 {
			continue
		}
		a.Roles |= badgeRole(string(name))
		p.scratch.badge = append(p.scratch.badge[:0], name...)
		if len(version) > 0 {
			p.scratch.badge = append(append(p.scratch.badge, '/'), version...)
		}
		a.Badges = append(a.Badges, p.names.string(p.scratch.badge))
	}
	return err
}
