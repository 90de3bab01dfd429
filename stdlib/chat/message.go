// Package chat reads chat logs of every format that recording tools write into one [Message].
package chat

import "time"

// Message is one line of chat, placed in stream time: the time since the first sample of the recording.
type Message struct {
	ID        string        // the platform's id; for formats without ids a digest of time, author, text and position
	Time      time.Duration // stream time at which the platform took the message; negative before the recording began
	Precision time.Duration // how finely Time is known: 1 ms, or 1 s where only whole seconds were written
	Author    Author
	Text      string  // as shown to viewers, valid UTF-8, without line breaks
	Emotes    []Emote // in order of Start, not overlapping
	ReplyTo   string  // id of the message that this one answers, or empty
	Bits      int     // cheered bits, 0 for most messages
	Deleted   bool    // removed by a moderator or its author later on
	Position  int64   // where the raw record starts in the log, in bytes of the decompressed file
}

// Author is who wrote a message.
type Author struct {
	ID     string   // the platform's stable id; the login where there is none
	Name   string   // display name
	Badges []string // "moderator", "subscriber/12", as the platform writes them
	Roles  Roles    // what the badges say, across platforms
}

// Roles is a set of what an author is on the channel.
type Roles uint8

// The roles that readers recognise.
const (
	Broadcaster Roles = 1 << iota
	Moderator
	Subscriber
	VIP
	Verified
	Bot // says so by badge, or is one of the well-known service bots
)

// Emote is a picture within a text.
type Emote struct {
	ID         string // the provider's id
	Name       string // the code that stands in the text
	Provider   string // "twitch", "bttv", "ffz", "7tv", "youtube", "kick"
	Start, End int    // byte span in Message.Text
}
