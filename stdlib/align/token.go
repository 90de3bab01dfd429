package align

import (
	"strconv"
	"strings"
	"unicode"

	"banter/stdlib/chat"
)

// maxTokens bounds the words of one message or utterance that are looked at: copypasta says nothing more after that.
const maxTokens = 24

// numberWords gives the digits of spoken numbers, so that "five" in speech meets "5" in chat.
var numberWords = map[string]string{
	"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
	"nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
	"sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30", "forty": "40",
	"fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
}

// normalise gives the form under which a written and a spoken word meet: lower case, no punctuation, stretched letters
// shortened ("nooooo" is "no"), numbers as digits, common English endings off. It returns "" for what holds no letter,
// digit or symbol.
func normalise(word string) string {
	var b strings.Builder
	b.Grow(len(word))
	var last rune
	run := 0
	for _, r := range word {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			r = unicode.ToLower(r)
		case unicode.IsSymbol(r) && r > 127: // emoji
		default:
			continue
		}
		if r == last {
			run++
		} else {
			last, run = r, 1
		}
		if run == 3 && unicode.IsLetter(r) { // three in a row are a stretched one: drop the second too
			s := b.String()
			b.Reset()
			b.WriteString(s[:len(s)-len(string(r))])
		}
		if run >= 3 && unicode.IsLetter(r) {
			continue
		}
		b.WriteRune(r)
	}
	s := b.String()
	if n, ok := numberWords[s]; ok {
		return "#" + n
	}
	if s != "" && strings.Trim(s, "0123456789") == "" {
		if n, err := strconv.Atoi(s); err == nil {
			return "#" + strconv.Itoa(n)
		}
	}
	return stem(s)
}

// stem takes off plural, -ing, -ed and a final e of longer words. It only has to make forms of one word equal, not pretty.
func stem(s string) string {
	n := len(s)
	switch {
	case n > 5 && strings.HasSuffix(s, "ing"):
		s = undouble(s[:n-3])
	case n > 4 && strings.HasSuffix(s, "ied"):
		s = s[:n-3] + "y"
	case n > 4 && strings.HasSuffix(s, "ed"):
		s = undouble(s[:n-2])
	case n > 4 && strings.HasSuffix(s, "ies"):
		s = s[:n-3] + "y"
	case n > 4 && (strings.HasSuffix(s, "sses") || strings.HasSuffix(s, "xes") || strings.HasSuffix(s, "ches") || strings.HasSuffix(s, "shes") || strings.HasSuffix(s, "oes")):
		s = s[:n-2]
	case n > 3 && strings.HasSuffix(s, "s") && !strings.HasSuffix(s, "ss") && !strings.HasSuffix(s, "us") && !strings.HasSuffix(s, "is"):
		s = s[:n-1]
	}
	if n := len(s); n > 3 && s[n-1] == 'e' {
		s = s[:n-1]
	}
	return s
}

// undouble turns "stopp" into "stop".
func undouble(s string) string {
	n := len(s)
	if n > 3 && s[n-1] == s[n-2] && !strings.ContainsRune("aeiouls", rune(s[n-1])) {
		return s[:n-1]
	}
	return s
}

// isLink says whether a word of a message is an address of a page.
func isLink(w string) bool {
	l := strings.ToLower(w)
	if strings.HasPrefix(l, "http://") || strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "www.") {
		return true
	}
	host, _, path := strings.Cut(l, "/")
	dot := strings.LastIndexByte(host, '.')
	return path && dot > 0 && len(host)-dot > 2 && strings.IndexFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) < 0
}

// class is what a message is by its form alone.
type class uint8

const (
	plain      class = iota
	chatReply        // answers another viewer: reply thread or leading @name
	command          // "!uptime"
	serviceBot       // by badge or by behaviour
	linkPost         // carries an address of a page
	pasta            // a long text posted again and again
)

var classNames = [...]string{"plain", "chat-to-chat", "command", "bot", "link", "copypasta"}

func (c class) String() string { return classNames[c] }

// classOf judges one message by its own form. hosts are the streamer's names, in lower case: talk to them is no chat-to-chat.
func classOf(m *chat.Message, hosts map[string]bool) class {
	text := strings.TrimSpace(m.Text)
	switch {
	case m.Author.Roles&chat.Bot != 0:
		return serviceBot
	case len(text) > 1 && text[0] == '!' && unicode.IsLetter(rune(text[1])):
		return command
	case m.ReplyTo != "":
		return chatReply
	case strings.HasPrefix(text, "@"):
		name, _, _ := strings.Cut(text[1:], " ")
		name = strings.ToLower(strings.TrimRight(name, ",:!?."))
		if name != "" && !hosts[name] {
			return chatReply
		}
	}
	for _, w := range strings.Fields(text) {
		if isLink(w) {
			return linkPost
		}
	}
	return plain
}

// words gives a message's normalised words in order, emotes kept whole and marked.
func messageWords(m *chat.Message) []string {
	var out []string
	plainWords := func(s string) {
		for _, w := range strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '/' || r == '-' }) {
			if strings.HasPrefix(w, "@") {
				continue
			}
			if n := normalise(w); n != "" && len(out) < maxTokens {
				out = append(out, n)
			}
		}
	}
	at := 0
	for _, e := range m.Emotes {
		if e.Start < at || e.End > len(m.Text) || e.End <= e.Start {
			continue // a reader that found impossible spans: take the text as it is
		}
		plainWords(m.Text[at:e.Start])
		if len(out) < maxTokens {
			out = append(out, ":"+m.Text[e.Start:e.End])
		}
		at = e.End
	}
	plainWords(m.Text[at:])
	return out
}
