package chat

import (
	"bytes"
	"errors"
	"fmt"

	"banter/internal/problem"
)

// reader reads all records of a log in one format.
type reader func(*pass) error

// sniff finds the format from the first bytes of the text.
func (p *pass) sniff() (reader, error) {
	head := p.w.rest()
	trimmed := bytes.TrimLeft(head, " \t\r\n")
	if len(trimmed) == 0 {
		return nil, &problem.Error{Err: errors.New("the file is empty"), Fix: "download the chat again"}
	}
	switch trimmed[0] {
	case '<':
		return p.sniffHTML(trimmed)
	case '{', '[':
		if trimmed[0] == '[' && looksTimed(trimmed) {
			return p.sniffLines(trimmed)
		}
		read, err := p.sniffJSON(trimmed)
		if err != nil {
			return nil, err
		}
		if read == nil {
			return nil, &problem.Error{Err: errors.New("JSON, but of no chat format that is known"), Fix: "give a log of TwitchDownloader, yt-dlp, chat-downloader, justlog or Kick"}
		}
		return read, nil
	}
	return p.sniffLines(trimmed)
}

// looksTimed tells a text log's "[0:00:05] ..." or "[2024-..." from a JSON array.
func looksTimed(head []byte) bool {
	end := bytes.IndexByte(head[:min(len(head), 40)], ']')
	return end > 3 && (bytes.Count(head[:end], []byte(":")) >= 1) && head[1] >= '0' && head[1] <= '9'
}

// shape is the set of keys by which records and documents are told apart.
type shape map[string]bool

func (s shape) has(keys ...string) bool {
	for _, k := range keys {
		if !s[k] {
			return false
		}
	}
	return true
}

// sniffJSON looks at the keys of the document and, where it is a list, of its first record.
func (p *pass) sniffJSON(head []byte) (reader, error) {
	c := cursor{b: head, depth: p.limits.Depth}
	if head[0] == '[' {
		c.i++
		if b, err := c.space(); err == nil && b == ']' {
			return readNothing, nil
		}
		s, err := shapeOf(&c)
		if err != nil {
			return nil, p.refused(err)
		}
		switch {
		case s.has("content_offset_seconds"), s.has("commenter"):
			return readTwitchComments, nil
		case isYouTube(s):
			return inArray(p, YouTubeLiveChat, p.youTubeRecord), nil
		case isKick(s):
			return inArray(p, Kick, p.kickRecord), nil
		case isJustlog(s):
			return inArray(p, JustlogJSON, p.justlogRecord), nil
		case isChatDownloader(s):
			return inArray(p, ChatDownloader, p.chatDownloaderRecord), nil
		}
		return nil, nil
	}
	s, err := shapeOf(&c)
	if err != nil {
		return nil, p.refused(err)
	}
	switch {
	case s.has("comments"), s.has("FileInfo"), s.has("embeddedData"), s.has("streamer", "video"), s.has("video", "emotes"):
		return readTwitchDownloader, nil
	case isYouTube(s):
		return inLines(p, YouTubeLiveChat, p.youTubeRecord), nil
	case s.has("event", "data") || isKick(s):
		return inLines(p, Kick, p.kickRecord), nil
	case isJustlog(s):
		return inLines(p, JustlogJSON, p.justlogRecord), nil
	case isChatDownloader(s):
		return inLines(p, ChatDownloader, p.chatDownloaderRecord), nil
	case s.has("content_offset_seconds"):
		return inLines(p, TwitchDownloaderJSON, p.twitchComment), nil
	case s.has("messages"), s.has("data"), s.has("status"):
		return readMessages, nil
	}
	return nil, nil
}

// shapeOf collects the keys of the object at c as far as the bytes go. It complains only of nesting without end.
func shapeOf(c *cursor) (shape, error) {
	s := shape{}
	some, err := c.open('{')
	for first := true; some && err == nil; first = false {
		if some, err = c.next('}', first); err != nil || !some {
			break
		}
		var key []byte
		if key, err = c.key(); err != nil {
			break
		}
		s[string(key)] = true
		err = c.skip()
	}
	var depth *depthError
	if errors.As(err, &depth) {
		return nil, err
	}
	return s, nil
}

func isYouTube(s shape) bool {
	for _, k := range [...]string{"replayChatItemAction", "addChatItemAction", "addLiveChatTickerItemAction", "markChatItemAsDeletedAction",
		"markChatItemsByAuthorAsDeletedAction", "removeChatItemAction", "removeChatItemByAuthorAction", "replaceChatItemAction",
		"liveChatReportPresenceCommand", "showLiveChatTooltipCommand", "addBannerToLiveChatCommand"} {
		if s[k] {
			return true
		}
	}
	return false
}

func isKick(s shape) bool {
	return s.has("content", "sender") || s.has("chatroom_id", "content") || s.has("chat_id", "content") ||
		s.has("broadcaster") // in all of its webhooks
}

func isJustlog(s shape) bool {
	return s.has("raw") || s.has("text", "username", "timestamp") || s.has("text", "displayName", "timestamp")
}

func isChatDownloader(s shape) bool {
	return s.has("time_in_seconds") || s.has("message_type", "timestamp") || s.has("action_type") || s.has("message", "author", "timestamp")
}

// readNothing reads an empty list.
func readNothing(p *pass) error {
	return &problem.Error{Err: errors.New("no messages: the log is an empty list"), Fix: "check that the chat was downloaded"}
}

// inArray reads records that are the elements of one array.
func inArray(p *pass, f Format, parse func(*cursor, *Message) error) reader {
	p.log.Source.Format = f
	return func(p *pass) error {
		return p.truncated(p.elements(func() error { return p.record(parse) }))
	}
}

// inLines reads records that stand one to a line. A line that is no record is counted and skipped as a whole, so that one
// broken record cannot spoil the next.
func inLines(p *pass, f Format, parse func(*cursor, *Message) error) reader {
	p.log.Source.Format = f
	return func(p *pass) error {
		for {
			position, number := p.w.offset(), p.w.line()
			line, some, err := p.w.lineBytes()
			if err != nil || !some {
				return err
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			c := cursor{b: line, depth: p.limits.Depth}
			err = parse(&c, p.begin(position))
			var depth *depthError
			switch {
			case err == nil:
				err = p.accept()
			case errors.Is(err, errIgnored):
				p.ignored()
				err = nil
			case errors.As(err, &depth):
				return p.refused(err)
			default:
				err = p.malformed(position, number, err)
			}
			if err != nil {
				return err
			}
		}
	}
}

// readMessages reads an object that holds its records in "messages", perhaps within "data", as the programming interfaces
// of justlog and Kick answer.
func readMessages(p *pass) error {
	err := p.truncated(p.messagesIn())
	if err == nil && p.log.Source.Format == "" {
		return &problem.Error{Err: errors.New("JSON, but of no chat format that is known"), Fix: "give a log of TwitchDownloader, yt-dlp, chat-downloader, justlog or Kick"}
	}
	return err
}

func (p *pass) messagesIn() error {
	return p.members(func(key string) error {
		b, err := p.peek()
		if err != nil {
			return p.ended(err)
		}
		switch {
		case key == "data" && b == '{':
			return p.messagesIn()
		case (key == "messages" || key == "data") && b == '[':
			var parse func(*cursor, *Message) error
			return p.elements(func() error {
				if parse == nil {
					if err := p.w.fill(sniffed); err != nil {
						return err
					}
					s, err := shapeOf(&cursor{b: p.w.rest(), depth: p.limits.Depth})
					switch {
					case err != nil:
						return p.refused(err)
					case isKick(s):
						p.log.Source.Format, parse = Kick, p.kickRecord
					case isJustlog(s):
						p.log.Source.Format, parse = JustlogJSON, p.justlogRecord
					case isChatDownloader(s):
						p.log.Source.Format, parse = ChatDownloader, p.chatDownloaderRecord
					default:
						return &problem.Error{At: fmt.Sprintf("byte %d", p.w.offset()), Err: errors.New("JSON, but of no chat format that is known"),
							Fix: "give a log of TwitchDownloader, yt-dlp, chat-downloader, justlog or Kick"}
					}
				}
				return p.record(parse)
			})
		}
		return p.discard()
	})
}
