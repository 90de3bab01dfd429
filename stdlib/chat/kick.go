package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Kick's messages: as its programming interface answers, as an array; as lines of its live events, of the first kind (until
// 2023) and of the second; or as the bodies of its webhooks, one a line.

type kickMessage struct {
	ID        any             `json:"id"`
	MessageID string          `json:"message_id"` // webhooks
	Content   *string         `json:"content"`
	Type      string          `json:"type"`
	CreatedAt any             `json:"created_at"`
	Metadata  json.RawMessage `json:"metadata"`
	RepliesTo struct {        // webhooks
		ID string `json:"message_id"`
	} `json:"replies_to"`
	Sender kickUser  `json:"sender"`
	Banned *kickUser `json:"banned_user"` // webhooks

	// What live events hold besides.
	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
	Message json.RawMessage `json:"message"` // a kickInner
	Deleted kickInner       `json:"deletedMessage"`
	User    kickUser        `json:"user"`
}

// kickUser is an author, as any of the forms writes one.
type kickUser struct {
	ID       any    `json:"id"`
	UserID   any    `json:"user_id"` // webhooks
	Username string `json:"username"`
	Slug     string `json:"slug"`
	Channel  string `json:"channel_slug"` // webhooks
	Verified bool   `json:"is_verified"`  // webhooks
	Identity struct {
		Badges []struct {
			Type  string `json:"type"`
			Count any    `json:"count"`
		} `json:"badges"`
	} `json:"identity"`

	// The first kind of events has these in place of badges.
	Role       string   `json:"role"`            // "Channel Host", "Moderator", "user"
	Follower   []string `json:"follower_badges"` // "OG", "VIP"
	Subscribed bool     `json:"is_subscribed"`
	Months     any      `json:"months_subscribed"`
	Founder    bool     `json:"is_founder"`
	Proven     bool     `json:"verified"`
}

// kickInner is the message within an event: of a deletion, and of the first kind of event that carried messages.
type kickInner struct {
	ID        any     `json:"id"`
	Content   *string `json:"message"`
	CreatedAt any     `json:"created_at"`
}

// kickMetadata is an object, or JSON in a string.
type kickMetadata struct {
	Original struct {
		ID any `json:"id"`
	} `json:"original_message"`
	CreatedAt string `json:"created_at"` // of a webhook's ban
}

func kickMeta(raw json.RawMessage) kickMetadata {
	var inner string
	if json.Unmarshal(raw, &inner) == nil {
		raw = json.RawMessage(inner)
	}
	var m kickMetadata
	if json.Unmarshal(raw, &m) != nil {
		return kickMetadata{} // other kinds of messages keep other things there
	}
	return m
}

// kickMark is how an emote stands in a text: [emote:37226:KEKW], and in old ones [emoji:angel] too.
var kickMark = regexp.MustCompile(`\[(?:emote:(\d{1,20}):([^\]\s]{0,100})|emoji:(\w{1,100}))\]`)

func (p *pass) kickRecord(c *cursor, m *Message) error {
	var item kickMessage
	if err := c.decode(&item); err != nil {
		return err
	}
	if item.Event != "" {
		if err := p.kickEvent(&item, m.Position); err != nil {
			return err
		}
	}
	metadata := kickMeta(item.Metadata)
	if item.Banned != nil {
		at := moment{position: m.Position}
		at.sent, _ = wallClock([]byte(metadata.CreatedAt)) // zero where there is none
		p.facts.removed.author(item.Banned.id(), at)
		return errIgnored
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
	item.Sender.author(&m.Author)
	if m.ReplyTo = plainText([]byte(scalar(metadata.Original.ID))); m.ReplyTo == "" {
		m.ReplyTo = plainText([]byte(item.RepliesTo.ID))
	}
	m.Origin = FromSent
	var err error
	m.Sent, err = kickTime(item.CreatedAt)
	return err
}

// kickEvent makes item the message that its event carries. Of other events it takes note and gives errIgnored.
func (p *pass) kickEvent(item *kickMessage, position int64) error {
	_, event, ok := strings.Cut(item.Event, `App\Events\`)
	if !ok {
		event = item.Event
	}
	switch event {
	case "ChatMessageEvent", "ChatMessageSentEvent", "MessageDeletedEvent", "ChatMessageDeletedEvent", "UserBannedEvent":
	case "ChatroomClearEvent":
		p.facts.removed.everything(moment{position: position})
		return errIgnored
	default:
		return errIgnored // whatever its data
	}
	data := item.Data // an object, or JSON within a string
	var quoted string
	if json.Unmarshal(data, &quoted) == nil {
		data = json.RawMessage(quoted)
	}
	*item = kickMessage{}
	c := cursor{b: data, depth: p.limits.Depth}
	if err := c.decode(item); err != nil {
		if errors.Is(err, errShort) { // within a whole record
			return errors.New("the event's data is cut off")
		}
		return err
	}
	item.Event = ""
	var inside kickInner
	if json.Unmarshal(item.Message, &inside) != nil { // an object, where there is one at all
		inside = kickInner{}
	}
	switch event {
	case "MessageDeletedEvent", "ChatMessageDeletedEvent":
		p.facts.removed.message(scalar(inside.ID))
		p.facts.removed.message(scalar(item.Deleted.ID))
		return errIgnored
	case "UserBannedEvent":
		p.facts.removed.author(item.User.id(), moment{position: position})
		return errIgnored
	}
	if item.Content == nil && inside.Content != nil {
		item.ID, item.Content, item.CreatedAt, item.Sender = inside.ID, inside.Content, inside.CreatedAt, item.User
	}
	return nil
}

func (u *kickUser) id() string {
	if id := scalar(u.ID); id != "" {
		return id
	}
	return scalar(u.UserID)
}

// author fills a.
func (u *kickUser) author(a *Author) {
	a.ID, a.Name = plainText([]byte(u.id())), plainText([]byte(u.Username))
	for _, login := range [...]string{u.Slug, u.Channel, a.Name} {
		if a.Login = strings.ToLower(plainText([]byte(login))); a.Login != "" {
			break
		}
	}
	if a.ID == "" {
		a.ID = a.Login
	}
	for _, b := range u.Identity.Badges {
		a.badge(plainText([]byte(b.Type)), scalar(b.Count))
	}
	switch u.Role {
	case "Channel Host":
		a.badge("broadcaster", "")
	case "Moderator":
		a.badge("moderator", "")
	}
	for _, b := range u.Follower {
		a.badge(strings.ToLower(plainText([]byte(b))), "")
	}
	if u.Founder {
		a.badge("founder", "")
	}
	if u.Subscribed {
		a.badge("subscriber", scalar(u.Months))
	}
	if u.Verified || u.Proven {
		a.Roles |= Verified
	}
}

// kickTime reads a time in RFC 3339, or in seconds or milliseconds since 1970.
func kickTime(created any) (time.Time, error) {
	switch created := created.(type) {
	case string:
		if sent, ok := wallClock([]byte(created)); ok {
			return sent, nil
		}
		return time.Time{}, fmt.Errorf("created_at is %.40q, not a time", created)
	case float64:
		if created > 1e11 {
			created /= 1e3
		}
		if created < 0 || created > 1e11 {
			return time.Time{}, errors.New("created_at is not a time")
		}
		return time.UnixMilli(int64(created * 1e3)).UTC(), nil
	}
	return time.Time{}, errors.New("created_at is missing")
}

// kickText replaces each emote's mark by its name.
func kickText(content string) (string, []Emote) {
	content = plainText([]byte(content))
	marks := kickMark.FindAllStringSubmatchIndex(content, -1)
	if marks == nil {
		return trimText(content), nil
	}
	var b strings.Builder
	var emotes []Emote
	last := 0
	for _, at := range marks {
		b.WriteString(content[last:at[0]])
		id, name := "", ""
		switch {
		case at[6] >= 0: // an emoji's name is all there is of it
			name = content[at[6]:at[7]]
			id = name
		case at[4] == at[5]:
			id = content[at[2]:at[3]]
			name = "emote" + id
		default:
			id, name = content[at[2]:at[3]], content[at[4]:at[5]]
		}
		emotes = append(emotes, Emote{ID: id, Name: name, Provider: "kick", Start: b.Len(), End: b.Len() + len(name)})
		b.WriteString(name)
		last = at[1]
	}
	b.WriteString(content[last:])
	return trimText(b.String()), emotes
}
