package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// chat-downloader's JSON (one array) and JSON lines, of any of the sites that it reads.

type chatDownloaderItem struct {
	ID       string          `json:"message_id"`
	Room     string          `json:"channel_id"`
	Source   string          `json:"source_room_id"` // of a chat that channels share
	Type     string          `json:"message_type"`
	Action   string          `json:"action_type"`
	Target   string          `json:"target_message_id"`
	Banned   string          `json:"banned_user"`
	BannedID string          `json:"target_author_id"`
	Usec     json.Number     `json:"timestamp"`
	Seconds  json.Number     `json:"time_in_seconds"`
	Stamp    string          `json:"time_text"`
	Author   json.RawMessage `json:"author"`
	Message  *string         `json:"message"`
	Badges   []chatBadge     `json:"author_badges"`
	Reply    string          `json:"in_reply_to_message_id"`
	ReplyTag struct {
		ID string `json:"message_id"`
	} `json:"in_reply_to"`
	Parent    string      `json:"parent_message_id"` // Reddit
	Bits      json.Number `json:"bits"`
	IsBot     bool        `json:"is_author_bot"`             // Facebook
	IsPoster  bool        `json:"is_author_original_poster"` // Facebook
	Primary   *string     `json:"header_primary_text"`       // YouTube's memberships
	Secondary *string     `json:"header_secondary_text"`
	Emotes    []struct {
		ID        any             `json:"id"`
		Name      string          `json:"name"`
		Shortcuts []string        `json:"shortcuts"`
		Custom    *bool           `json:"is_custom_emoji"`
		Locations json.RawMessage `json:"locations"`
	} `json:"emotes"`
}

type chatBadge struct {
	Name    string `json:"name"`
	Icon    string `json:"icon_name"`
	SetID   string `json:"setID"`
	Title   string `json:"title"`
	Version any    `json:"version"`
}

type chatAuthor struct {
	ID          any         `json:"id"`
	Name        string      `json:"name"`
	DisplayName string      `json:"display_name"`
	Badges      []chatBadge `json:"badges"`
	Moderator   bool        `json:"is_moderator"`  // Twitch, live
	Subscriber  bool        `json:"is_subscriber"` // Twitch, live
	Verified    bool        `json:"is_verified"`   // Facebook
}

// roles are what the record says of its author besides the badges.
func (item *chatDownloaderItem) roles(author chatAuthor) Roles {
	var roles Roles
	for _, r := range [...]struct {
		role Roles
		has  bool
	}{{Moderator, author.Moderator}, {Subscriber, author.Subscriber}, {Verified, author.Verified}, {Bot, item.IsBot}, {Broadcaster, item.IsPoster}} {
		if r.has {
			roles |= r.role
		}
	}
	return roles
}

func (p *pass) chatDownloaderRecord(c *cursor, m *Message) error {
	var item chatDownloaderItem
	if err := c.decode(&item); err != nil {
		return err
	}
	var author chatAuthor
	if len(item.Author) > 0 && item.Author[0] == '"' { // the first versions wrote the name alone
		if err := json.Unmarshal(item.Author, &author.Name); err != nil {
			return errors.New("author is neither a name nor an object")
		}
	} else if len(item.Author) > 0 {
		if err := json.Unmarshal(item.Author, &author); err != nil {
			return errors.New("author is neither a name nor an object")
		}
	}
	if item.Usec != "" {
		usec, err := strconv.ParseFloat(string(item.Usec), 64)
		if err != nil || usec < 0 || usec > 1e17 {
			return fmt.Errorf("timestamp is %.40q", string(item.Usec))
		}
		m.Sent = time.UnixMicro(int64(usec)).UTC()
	}
	at := moment{m.Sent, m.Position}
	switch kind := item.Action + " " + item.Type; {
	case strings.Contains(kind, "as_deleted") || strings.Contains(kind, "delete_message") || strings.Contains(kind, "remove_chat_item"),
		strings.Contains(kind, "ban_user"):
		if item.Target != "" {
			p.facts.removed.message(item.Target)
		} else {
			p.facts.removed.author(scalar(author.ID), at)
			p.facts.removed.author(item.BannedID, at)
			p.facts.removed.author(strings.ToLower(item.Banned), at)
		}
		return errIgnored
	case item.Type == "clear_chat":
		p.facts.removed.everything(at)
		return errIgnored
	case item.Type == "delete_comment", item.Type == "remove_comment": // of Reddit
		p.facts.removed.message(item.ID)
		return errIgnored
	case item.Message == nil, spokenBySite(item.Action, item.Type), item.greets():
		return errIgnored
	}
	m.ID = plainText([]byte(item.ID))
	text, action := strings.CutSuffix(*item.Message, "\x01") // what is left of IRC's way to write /me
	m.Text, m.Action = trimText(plainText([]byte(text))), action
	switch item.Type {
	case "", "text_message", "new_comment":
	case "highlighted_message", "send_message_in_subscriber_only_mode": // paid for with points, but talk
	default:
		m.Notice = strings.TrimSuffix(strings.TrimSuffix(plainText([]byte(item.Type)), "_message"), "_item")
	}
	if item.Source != item.Room {
		m.Room = plainText([]byte(item.Source))
	}
	if m.ReplyTo = item.Reply; m.ReplyTo == "" {
		m.ReplyTo = item.ReplyTag.ID
	}
	if strings.HasPrefix(item.Parent, "t1_") { // a comment; other parents are the post
		m.ReplyTo = item.Parent
	}
	if n, err := strconv.Atoi(string(item.Bits)); err == nil {
		m.Bits = max(n, 0)
	}
	a := &m.Author
	a.ID, a.Name = plainText([]byte(scalar(author.ID))), plainText([]byte(author.DisplayName))
	if a.Name == "" {
		a.Name = plainText([]byte(author.Name))
	}
	if author.DisplayName != "" || author.ID == nil { // where there are both, name is the login
		a.Login = strings.ToLower(plainText([]byte(author.Name)))
	}
	if a.ID == "" {
		a.ID = a.Login
	}
	a.Roles |= item.roles(author)
	for _, b := range append(author.Badges, item.Badges...) {
		a.Roles |= badgeRole(b.Icon) // whatever the language of its title
		name, version := b.Name, scalar(b.Version)
		if name == "" {
			name = b.SetID
		}
		if name == "" { // YouTube's have a title only: "Moderator", "Member (6 months)"
			name, version, _ = strings.Cut(b.Title, " (")
			version = strings.TrimSuffix(version, ")")
		}
		a.badge(plainText([]byte(name)), plainText([]byte(version)))
	}
	for _, e := range item.Emotes {
		// A standard emoji stands as its shortcut, where viewers see the character, which is its id.
		if e.Custom != nil && !*e.Custom && len(e.Name) > 2 && e.Name[0] == ':' {
			if id := plainText([]byte(scalar(e.ID))); utf8.RuneCountInString(id) < len(id) {
				m.Text = strings.ReplaceAll(m.Text, e.Name, id)
			}
		}
	}
	for _, e := range item.Emotes {
		p.chatDownloaderEmote(m, scalar(e.ID), e.Name, e.Locations, e.Custom, e.Shortcuts)
	}

	if item.Seconds == "" {
		if m.Sent.IsZero() {
			return errors.New("neither time_in_seconds nor timestamp")
		}
		m.Origin = FromSent
		return nil
	}
	var fine bool
	var err error
	if m.Offset, fine, err = seconds([]byte(item.Seconds)); err != nil {
		return err
	}
	if fine {
		m.Precision = time.Millisecond
	}
	if m.Offset <= 0 && strings.HasPrefix(item.Stamp, "-") { // YouTube's waiting room
		p.beforeStart(m, item.Stamp)
	}
	return nil
}

// spokenBySite says whether a record's text is the platform's own, or that of a message which stands elsewhere too.
func spokenBySite(action, kind string) bool {
	switch action {
	case "notice", "host_target", "room_state", "user_state", "successful_login", "reconnect", // of Twitch
		"add_banner_to_live_chat", "add_live_chat_ticker_item", "show_live_chat_tooltip", "update_live_chat_poll":
		return true
	}
	switch kind {
	case "viewer_engagement_message", "mode_change_message", "donation_announcement", "sponsorships_gift_purchase_announcement", "sponsorships_gift_redemption_announcement":
		return true
	}
	return strings.HasPrefix(kind, "ticker_")
}

// greets says whether a record's text is YouTube's greeting of a new member. Old versions of the tool write that for the
// member's words.
func (item *chatDownloaderItem) greets() bool {
	return item.Type == "membership_item" && item.Primary == nil && item.Secondary == nil &&
		(*item.Message == "New member" || strings.HasPrefix(*item.Message, "Welcome to "))
}

// chatDownloaderEmote places one emote. Twitch's have locations in code points, inclusive at both ends, as a list or
// parted by commas; YouTube's have none, and their shortcut stands in the text.
func (p *pass) chatDownloaderEmote(m *Message, id, name string, locations json.RawMessage, custom *bool, shortcuts []string) {
	var list []string
	var joined string
	if json.Unmarshal(locations, &list) != nil && json.Unmarshal(locations, &joined) == nil {
		list = strings.Split(joined, ",")
	}
	if len(list) > 0 {
		for _, l := range list {
			first, last, ok := strings.Cut(l, "-")
			begin, err1 := strconv.Atoi(first)
			end, err2 := strconv.Atoi(last)
			start, stop, placed := codePointSpan(m.Text, begin, end+1)
			if !ok || err1 != nil || err2 != nil || !placed {
				p.scratch.lost++
				continue
			}
			m.Emotes = append(m.Emotes, Emote{ID: plainText([]byte(id)), Name: m.Text[start:stop], Provider: "twitch", Start: start, End: stop})
		}
		return
	}
	if custom != nil && !*custom { // a standard emoji is a character of the text
		return
	}
	for _, s := range append(shortcuts, name) {
		if s == "" {
			continue
		}
		found := false
		for at := 0; ; {
			i := strings.Index(m.Text[at:], s)
			if i < 0 {
				break
			}
			m.Emotes = append(m.Emotes, Emote{ID: plainText([]byte(id)), Name: s, Provider: "youtube", Start: at + i, End: at + i + len(s)})
			at += i + len(s)
			found = true
		}
		if found {
			return
		}
	}
	p.scratch.lost++
}

// scalar writes a JSON string or number as text.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
