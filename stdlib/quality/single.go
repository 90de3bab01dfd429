package quality

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"banter/stdlib/chat"
)

// reasonIf is a judge that gives one reason wherever bad is true.
func reasonIf(reason string, bad func(i int) bool) (judge, error) {
	return judge{drop: func(i int) string {
		if bad(i) {
			return reason
		}
		return ""
	}}, nil
}

// between is a judge of a number with an own reason for each side. high 0 means no limit.
func between(what string, low, high int, count func(i int) int) (judge, error) {
	few, many := fmt.Sprintf("fewer than %d %s", low, what), fmt.Sprintf("more than %d %s", high, what)
	return judge{drop: func(i int) string {
		switch n := count(i); {
		case n < low:
			return few
		case high > 0 && n > high:
			return many
		}
		return ""
	}}, nil
}

func (r Confidence) prepare(s *scene) (judge, error) {
	low, high := fmt.Sprintf("confidence below %v", r.AtLeast), fmt.Sprintf("confidence above %v", r.top())
	return judge{drop: func(i int) string {
		switch c := s.pairs[i].Confidence; {
		case !(c >= r.AtLeast): // so that what is not a number falls, too
			return low
		case c > r.top():
			return high
		}
		return ""
	}}, nil
}

func (r FDR) prepare(s *scene) (judge, error) {
	return reasonIf(fmt.Sprintf("false discovery rate above %v", r.AtMost), func(i int) bool { return !(s.pairs[i].FDR <= r.AtMost) })
}

func (r Words) prepare(s *scene) (judge, error) {
	return between("words", r.Min, r.Max, func(i int) int { return len(strings.Fields(s.response(i))) })
}

func (r Chars) prepare(s *scene) (judge, error) {
	return between("characters", r.Min, r.Max, func(i int) int { return utf8.RuneCountInString(s.response(i)) })
}

func (r SpeechWords) prepare(s *scene) (judge, error) {
	return between("spoken words", r.Min, r.Max, func(i int) int { return s.pairs[i].LastWord - s.pairs[i].FirstWord })
}

func (r Delay) prepare(s *scene) (judge, error) {
	return judge{drop: func(i int) string {
		switch d := s.pairs[i].Delay; {
		case d < r.Min:
			return "answered sooner than " + r.Min.String()
		case d > r.Max:
			return "answered later than " + r.Max.String()
		}
		return ""
	}}, nil
}

func (r Commands) prepare(s *scene) (judge, error) {
	return reasonIf("a command to a bot", func(i int) bool { return isCommand(s.response(i)) })
}

// isCommand reports whether a text is like "!uptime".
func isCommand(text string) bool {
	text = strings.TrimSpace(text)
	if len(text) < 2 || text[0] != '!' {
		return false
	}
	c, _ := utf8.DecodeRuneInString(text[1:])
	return unicode.IsLetter(c) || unicode.IsDigit(c)
}

func (r Bots) prepare(s *scene) (judge, error) {
	listed := map[string]bool{}
	for _, a := range r.Authors {
		listed[strings.ToLower(a)] = true
	}
	type message struct{ stream, id string }
	theirs := map[message]bool{}
	if len(listed) > 0 {
		for stream, messages := range s.ctx.Chats {
			for _, m := range messages {
				if listed[strings.ToLower(m.Author.Name)] || listed[strings.ToLower(m.Author.ID)] {
					theirs[message{stream, m.ID}] = true
				}
			}
		}
		hashes := true // whether every entry looks like an author hash, which needs no chat
		for a := range listed {
			hashes = hashes && len(a) >= 16 && strings.Trim(a, "0123456789abcdef") == ""
		}
		if !hashes {
			for _, i := range s.alive {
				if _, ok := s.ctx.Chats[s.pairs[i].Stream]; !ok {
					return judge{}, fmt.Errorf("authors are listed by name, but the chat of stream %s is not given", s.pairs[i].Stream)
				}
			}
		}
	}
	return judge{drop: func(i int) string {
		p := &s.pairs[i]
		switch {
		case p.AuthorRoles&chat.Bot != 0:
			return "written by a bot"
		case len(listed) > 0 && (listed[strings.ToLower(p.AuthorHash)] || theirs[message{p.Stream, p.MessageID}]):
			return "written by a listed author"
		}
		return ""
	}}, nil
}

func (r Links) prepare(s *scene) (judge, error) {
	return reasonIf("holds a link", func(i int) bool { return hasLink(s.response(i)) })
}

func (r EmoteOnly) prepare(s *scene) (judge, error) {
	return reasonIf("nothing but emotes", func(i int) bool { return s.pairs[i].EmoteOnly })
}

func (r ViewerAddressed) prepare(s *scene) (judge, error) {
	streamer := map[string]bool{}
	for _, name := range r.Streamer {
		streamer[strings.ToLower(strings.TrimPrefix(name, "@"))] = true
	}
	return judge{drop: func(i int) string {
		name := addressed(s.response(i))
		if name != "" && streamer[name] {
			return ""
		}
		switch {
		case name != "":
			return "speaks to another viewer"
		case s.pairs[i].ReplyTo != "":
			return "replies to another message"
		}
		return ""
	}}, nil
}

// addressed is the lower-case name that a text begins by calling, or empty.
func addressed(text string) string {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "@") {
		return ""
	}
	name := text[1:]
	if end := strings.IndexFunc(name, func(c rune) bool { return !isNameRune(c) }); end >= 0 {
		name = name[:end]
	}
	return strings.ToLower(name)
}

// isNameRune reports whether c can be part of a user's name.
func isNameRune(c rune) bool {
	return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c)
}

func (r Deleted) prepare(s *scene) (judge, error) {
	return reasonIf("removed from the chat", func(i int) bool { return s.pairs[i].Deleted })
}

func (r Cheers) prepare(s *scene) (judge, error) {
	return reasonIf(fmt.Sprintf("came with more than %d bits", r.AtMost), func(i int) bool { return s.pairs[i].Bits > r.AtMost })
}

func (r SpeechConfidence) prepare(s *scene) (judge, error) {
	low := fmt.Sprintf("speech recognised with a probability below %v", r.AtLeast)
	return judge{drop: func(i int) string {
		switch p := s.pairs[i].SpeechProb; {
		case p < 0 && r.Unknown:
			return ""
		case p < 0:
			return "speech without probabilities"
		case !(p >= r.AtLeast):
			return low
		}
		return ""
	}}, nil
}

func (r SpeechTiming) prepare(s *scene) (judge, error) {
	return judge{drop: func(i int) string {
		p := &s.pairs[i]
		lasts := p.SpeechEnd - p.SpeechStart
		switch {
		case lasts < r.Min:
			return "speech shorter than " + r.Min.String()
		case r.Max > 0 && lasts > r.Max:
			return "speech longer than " + r.Max.String()
		case r.MaxRate > 0 && float64(p.LastWord-p.FirstWord) > r.MaxRate*max(lasts, time.Millisecond).Seconds():
			return fmt.Sprintf("more than %v words a second", r.MaxRate)
		}
		return ""
	}}, nil
}

func (r Toxicity) prepare(s *scene) (judge, error) {
	if r.Judge == "" {
		words := r.Words
		if len(words) == 0 {
			words = mildList()
		}
		list, err := compileWords(words)
		if err != nil {
			return judge{}, err
		}
		return judge{drop: func(i int) string {
			if w := list.find(s.response(i)); w != "" {
				return fmt.Sprintf("the word list has %q", w)
			}
			return ""
		}}, nil
	}
	for _, j := range s.ctx.Judges {
		if j.Name() != r.Judge {
			continue
		}
		if j.Version() != r.Version {
			return judge{}, fmt.Errorf("judge %s is version %q, but the rule asks for %q", r.Judge, j.Version(), r.Version)
		}
		return judge{drop: func(i int) string { return j.Reason(s.response(i)) }}, nil
	}
	return judge{}, errors.New("there is no judge " + r.Judge)
}
