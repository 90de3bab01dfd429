package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// yt-dlp's live_chat.json: one replayChatItemAction a line, with an offset into the video in milliseconds and actions that
// add messages or take them back. The actions themselves, as other tools keep them, are read as well.

type youTubeLine struct {
	Replay *struct {
		Actions      []youTubeAction `json:"actions"`
		OffsetMillis json.Number     `json:"videoOffsetTimeMsec"`
	} `json:"replayChatItemAction"`
	OffsetMillis json.Number `json:"videoOffsetTimeMsec"`
	youTubeAction
}

type youTubeAction struct {
	Add *struct {
		Item youTubeItem `json:"item"`
	} `json:"addChatItemAction"`
	Replace *struct {
		Target string      `json:"targetItemId"`
		Item   youTubeItem `json:"replacementItem"`
	} `json:"replaceChatItemAction"`
	Deleted *struct {
		Target string `json:"targetItemId"`
	} `json:"markChatItemAsDeletedAction"`
	Removed *struct {
		Target string `json:"targetItemId"`
	} `json:"removeChatItemAction"`
	AuthorDeleted *struct {
		Channel string `json:"externalChannelId"`
	} `json:"markChatItemsByAuthorAsDeletedAction"`
	AuthorRemoved *struct {
		Channel string `json:"externalChannelId"`
	} `json:"removeChatItemByAuthorAction"`
}

type youTubeItem struct {
	Text       *youTubeMessage `json:"liveChatTextMessageRenderer"`
	Paid       *youTubeMessage `json:"liveChatPaidMessageRenderer"`
	Membership *youTubeMessage `json:"liveChatMembershipItemRenderer"`
	Held       *struct{}       `json:"liveChatPlaceholderItemRenderer"` // stands for a message that moderators look at
}

type youTubeMessage struct {
	ID        string       `json:"id"`
	Usec      json.Number  `json:"timestampUsec"`
	Stamp     youTubeText  `json:"timestampText"`
	Name      youTubeText  `json:"authorName"`
	Channel   string       `json:"authorExternalChannelId"`
	Message   *youTubeText `json:"message"`
	AuthorTag []struct {
		Badge struct {
			Icon struct {
				Type string `json:"iconType"`
			} `json:"icon"`
			Tooltip string `json:"tooltip"`
		} `json:"liveChatAuthorBadgeRenderer"`
	} `json:"authorBadges"`
}

type youTubeText struct {
	Simple string `json:"simpleText"`
	Runs   []struct {
		Text  string `json:"text"`
		Emoji *struct {
			ID        string   `json:"emojiId"`
			Shortcuts []string `json:"shortcuts"`
			Custom    bool     `json:"isCustomEmoji"`
		} `json:"emoji"`
	} `json:"runs"`
}

// decode takes one whole value and decodes it into to by encoding/json.
func (c *cursor) decode(to any) error {
	if _, err := c.space(); err != nil {
		return err
	}
	start := c.i
	if err := c.skip(); err != nil {
		return err
	}
	if err := json.Unmarshal(c.b[start:c.i], to); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("%s is a %s", kind.Field, kind.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// youTubeRecord reads one line or action. A replay item holds one action that adds a message, as a rule; should it hold
// more, all but the first such one are accepted on the way.
func (p *pass) youTubeRecord(c *cursor, m *Message) error {
	var line youTubeLine
	if err := c.decode(&line); err != nil {
		return err
	}
	actions := []youTubeAction{line.youTubeAction}
	offset := line.OffsetMillis
	if line.Replay != nil {
		actions = line.Replay.Actions
		if line.Replay.OffsetMillis != "" {
			offset = line.Replay.OffsetMillis
		}
	}
	var adds []youTubeItem
	for _, a := range actions {
		switch {
		case a.Add != nil:
			adds = append(adds, a.Add.Item)
		case a.Replace != nil && a.Replace.Item.Held != nil:
			p.facts.removed.message(a.Replace.Target)
		case a.Replace != nil:
			adds = append(adds, a.Replace.Item)
		case a.Deleted != nil:
			p.facts.removed.message(a.Deleted.Target)
		case a.Removed != nil:
			p.facts.removed.message(a.Removed.Target)
		case a.AuthorDeleted != nil:
			p.facts.removed.author(a.AuthorDeleted.Channel, moment{position: m.Position})
		case a.AuthorRemoved != nil:
			p.facts.removed.author(a.AuthorRemoved.Channel, moment{position: m.Position})
		}
	}
	position, found := m.Position, false
	for _, item := range adds {
		var next Message
		next.Position, next.Precision = position, time.Second
		ok, err := p.youTubeItem(item, offset, &next)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if found { // an earlier one waits in *m: hand that over first
			if err := p.accept(); err != nil {
				return err
			}
		}
		*m, found = next, true
	}
	if !found {
		return errIgnored
	}
	return nil
}

// youTubeItem fills m; ok is false for items that are no messages.
func (p *pass) youTubeItem(item youTubeItem, offset json.Number, m *Message) (ok bool, err error) {
	from := item.Text
	switch {
	case item.Paid != nil:
		from, m.Notice = item.Paid, "paid"
	case item.Membership != nil:
		from, m.Notice = item.Membership, "membership"
	}
	if from == nil {
		return false, nil
	}
	text := from.Message
	if text == nil { // money without words, and memberships of which only the platform speaks
		return false, nil
	}
	m.ID = plainText([]byte(from.ID))
	m.Text, m.Emotes = text.flatten()
	m.Author.ID = from.Channel
	m.Author.Name, _ = from.Name.flatten()
	for _, tag := range from.AuthorTag {
		name, version := tag.Badge.Icon.Type, ""
		if name == "" { // memberships have a picture of the channel's own and say "Member (6 months)"
			name, version, _ = strings.Cut(tag.Badge.Tooltip, " (")
			version = strings.TrimSuffix(version, ")")
		}
		m.Author.badge(plainText([]byte(name)), plainText([]byte(version)))
	}
	if from.Usec != "" {
		usec, err := strconv.ParseInt(string(from.Usec), 10, 64)
		if err != nil || usec < 0 || usec > 1e17 {
			return false, fmt.Errorf("timestampUsec is %.40q", string(from.Usec))
		}
		m.Sent = time.UnixMicro(usec).UTC()
	}
	if offset == "" {
		if m.Sent.IsZero() {
			return false, errors.New("neither videoOffsetTimeMsec nor timestampUsec")
		}
		m.Origin = FromSent
		return true, nil
	}
	ms, err := strconv.ParseInt(string(offset), 10, 64)
	if err != nil || time.Duration(ms).Abs() > maxOffset/time.Millisecond {
		return false, fmt.Errorf("videoOffsetTimeMsec is %.40q", string(offset))
	}
	m.Offset, m.Precision = time.Duration(ms)*time.Millisecond, time.Millisecond
	if ms == 0 {
		p.beforeStart(m, from.Stamp.Simple)
	}
	return true, nil
}

// beforeStart places a message of the waiting room. All of these have the offset 0, and a stamp such as "-3:51": the wall
// clock places them to the millisecond, if others have both, and the stamp to the second.
func (p *pass) beforeStart(m *Message, stamp string) {
	offset, _, ok := clockTime([]byte(strings.Replace(stamp, "\u2212", "-", 1)))
	if !ok || offset >= 0 {
		return
	}
	m.Offset, m.Precision = offset, time.Second
	if !m.Sent.IsZero() {
		m.Origin = FromSent
	}
}

// flatten makes one text of the runs: a standard emoji is its own character, a custom one stands as its shortcut.
func (t youTubeText) flatten() (string, []Emote) {
	if len(t.Runs) == 0 {
		return trimText(plainText([]byte(t.Simple))), nil
	}
	var b strings.Builder
	var emotes []Emote
	for _, r := range t.Runs {
		if r.Emoji == nil {
			b.WriteString(plainText([]byte(r.Text)))
			continue
		}
		name := r.Emoji.ID
		custom := r.Emoji.Custom || strings.Contains(name, "/") // a channel and a picture, not a character
		if custom && len(r.Emoji.Shortcuts) > 0 {
			name = r.Emoji.Shortcuts[0]
		}
		if name = plainText([]byte(name)); name == "" {
			continue
		}
		if custom {
			emotes = append(emotes, Emote{ID: plainText([]byte(r.Emoji.ID)), Name: name, Provider: "youtube", Start: b.Len(), End: b.Len() + len(name)})
		}
		b.WriteString(name)
	}
	return trimText(b.String()), emotes
}
