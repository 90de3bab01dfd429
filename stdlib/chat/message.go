// Package chat reads chat logs of every format that recording tools write into one [Message].
//
// A log's format is found by its content, never by its name. [Read] and [Open] give the whole log, sorted, with its clock
// repaired; [Scan] gives the same messages one by one in constant memory. What was read, dropped, repaired or inferred on
// the way is counted in [Report] and [Clock].
package chat

import "time"

// Message is one line of chat, placed in stream time: the time since the first sample of the recording.
type Message struct {
	ID        string        // the platform's id; for formats without ids a digest of time, author, text and position
	Time      time.Duration // stream time at which the platform took the message, whole milliseconds; negative before the recording began
	Precision time.Duration // how finely Time is known: 1 ms, or 1 s where only whole seconds were written
	Origin    Origin        // which of the log's clocks Time comes from
	Sent      time.Time     // the platform's wall clock as logged, UTC; zero where the log has none
	Offset    time.Duration // offset into the video as logged, to the millisecond, before any repair; 0 where the log has none
	Author    Author
	Text      string  // as shown to viewers, valid UTF-8, without line breaks
	Emotes    []Emote // in order of Start, not overlapping
	ReplyTo   string  // id of the message that this one answers, or empty
	Room      string  // id of the channel in whose chat it was written, where chats are shared and that is another one
	Notice    string  // the platform's kind of system message ("resub", "paid"), or empty for ordinary talk
	Bits      int     // cheered bits, 0 for most messages
	Action    bool    // written with /me
	Deleted   bool    // removed by a moderator or its author later on
	Position  int64   // where the raw record starts in the log, in bytes of the decompressed text (as UTF-8)
}

// Author is who wrote a message.
type Author struct {
	ID     string   // the platform's stable id; the login where there is none; empty for deleted accounts
	Login  string   // account name in lower case where the log has it
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
	Provider   string // "twitch", "bttv", "ffz", "7tv", "youtube", "kick"; "third-party" where the log does not say which
	Start, End int    // byte span in Message.Text
}

// Origin says which clock of the log a message's Time comes from.
type Origin uint8

// The clocks that logs hold.
const (
	FromOffset Origin = iota // the offset into the video, as written
	FromBoth                 // the offset, made finer by the wall clock
	FromSent                 // the wall clock, counted from the start of the recording
)

func (o Origin) String() string {
	switch o {
	case FromOffset:
		return "offset"
	case FromBoth:
		return "offset and wall clock"
	case FromSent:
		return "wall clock"
	}
	return "unknown"
}
