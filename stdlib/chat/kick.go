package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Kick's messages: as its programming interface answers, as an array, or as lines of its live events.

type kickMessage struct {
	ID        any             `json:"id"`
	MessageID string          `json:"message_id"`
	Content   *string         `json:"content"`
	Type      string          `json:"type"`
	CreatedAt any             `json:"created_at"`
	Metadata  json.RawMessage `json:"metadata"`
	Sender    struct {
		ID       any    `json:"id"`
		UserID   any    `json:"user_id"`
		Slug     string `json:"slug"`
		Username string `json:"username"`
		Identity struct {
			Badges []struct {
				Type  string `json:"type"`
				Text  string `json:"text"`
				Count any    `json:"count"`
			} `json:"badges"`
		} `json:"identity"`
	} `json:"sender"`

	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
	Message json.RawMessage `json:"message"`
	User    struct {
		ID       any    `json:"id"`
		Username string `json:"username"`
	} `json:"user"`
}

// kickInner is the message within an event: of a deletion, and of the first kind of event that carried messages.
type kickInner struct {
	ID        any     `json:"id"`
	Content   *string `json:"message"`
	CreatedAt any     `json:"created_at"`
}

type kickMetadata struct {
	Original struct {
		ID any `json:"id"`
	} `json:"original_message"`
}

// kickEmote is how an emote stands in a text: [emote:37226:KEKW].
var kickEmote = regexp.MustCompile(`\[emote:(\d{1,20}):([^\]\s]{0,100})\]`)

func (p *pass) kickRecord(c *cursor, m *Message) error {
	var item kickMessage
	if err := c.decode(&item); err != nil {
		return err
	}
	if item.Event != "" { // a live event, whose data is an object or JSON within a string
		event := item.Event
		data := []byte(item.Data)
		var inner string
		if json.Unmarshal(data, &inner) == nil {
			data = []byte(inner)
		}
		item = kickMessage{}
		c := cursor{b: data, depth: p.limits.Depth}
		if err := c.decode(&item); err != nil && !errors.Is(err, errShort) {
			return err
		}
		var inside kickInner
		if json.Unmarshal(item.Message, &inside) != nil { // an object, where there is one at all
			inside = kickInner{}
		}
		switch {
		case strings.HasSuffix(event, "MessageDeletedEvent"):
			p.facts.removed.message(scalar(inside.ID))
			return errIgnored
		case strings.HasSuffix(event, "UserBannedEvent"):
			p.facts.removed.author(scalar(item.User.ID), moment{position: m.Position})
			return errIgnored
		case strings.HasSuffix(event, "ChatroomClearEvent"):
			p.facts.removed.everything(moment{position: m.Position})
			return errIgnored
		case !strings.HasSuffix(event, "ChatMessageEvent") && !strings.HasSuffix(event, "ChatMessageSentEvent"):
			return errIgnored
		}
		if item.Content == nil && inside.Content != nil {
			item.ID, item.Content, item.CreatedAt = inside.ID, inside.Content, inside.CreatedAt
			item.Sender.ID, item.Sender.Username = item.User.ID, item.User.Username
		}
	}
	if item.Content == nil {
		return errIgnored
	}
	if m.ID = plainText([]byte(scalar(item.ID))); m.ID == "" {
		m.ID = plainText([]byte(item.MessageID))
	}
	m.Text, m.Emotes = kickText(*item.Content)
	if item.Type != "" && item.Type != "message" && item.Type != "reply" {
		m.Notice = plainText([]byte(item.Type))
	}
	a := &m.Author
	if a.ID = scalar(item.Sender.ID); a.ID == "" {
		a.ID = scalar(item.Sender.UserID)
	}
	a.Name, a.Login = plainText([]byte(item.Sender.Username)), strings.ToLower(plainText([]byte(item.Sender.Slug)))
	if a.Login == "" {
		a.Login = strings.ToLower(a.Name)
	}
	if a.ID == "" {
		a.ID = a.Login
	}
	for _, b := range item.Sender.Identity.Badges {
		a.badge(plainText([]byte(b.Type)), scalar(b.Count))
	}
	m.ReplyTo = kickReply(item.Metadata)

	switch created := item.CreatedAt.(type) {
	case string:
		sent, ok := wallClock([]byte(created))
		if !ok {
			return fmt.Errorf("created_at is %.40q, not a time", created)
		}
		m.Sent = sent
	case float64: // seconds or milliseconds since 1970
		if created > 1e11 {
			created /= 1e3
		}
		if created < 0 || created > 1e11 {
			return errors.New("created_at is not a time")
		}
		m.Sent = time.UnixMilli(int64(created * 1e3)).UTC()
	default:
		return errors.New("created_at is missing")
	}
	m.Origin = FromSent
	return nil
}

// kickReply gives the id of the message that metadata says this one answers. Metadata is an object, or JSON in a string.
func kickReply(metadata json.RawMessage) string {
	var inner string
	if json.Unmarshal(metadata, &inner) == nil {
		metadata = json.RawMessage(inner)
	}
	var m kickMetadata
	if json.Unmarshal(metadata, &m) != nil {
		return ""
	}
	return plainText([]byte(scalar(m.Original.ID)))
}

// kickText replaces each emote's mark by its name.
func kickText(content string) (string, []Emote) {
	content = plainText([]byte(content))
	marks := kickEmote.FindAllStringSubmatchIndex(content, -1)
	if marks == nil {
		return trimText(content), nil
	}
	var b strings.Builder
	var emotes []Emote
	last := 0
	for _, at := range marks {
		b.WriteString(content[last:at[0]])
		id, name := content[at[2]:at[3]], content[at[4]:at[5]]
		if name == "" {
			name = "emote" + id
		}
		emotes = append(emotes, Emote{ID: id, Name: name, Provider: "kick", Start: b.Len(), End: b.Len() + len(name)})
		b.WriteString(name)
		last = at[1]
	}
	b.WriteString(content[last:])
	return trimText(b.String()), emotes
}
