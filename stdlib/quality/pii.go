package quality

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The marks that stand for what was masked.
const (
	maskMail    = "<mail>"
	maskPhone   = "<phone>"
	maskAddress = "<address>"
	maskHandle  = "@user"
)

// piiKinds are the kinds that MaskPII knows, in the order in which they are masked.
var piiKinds = []string{"mail", "address", "phone", "handle"}

func (r MaskPII) validate() error {
	for i, k := range r.Kinds {
		if !slices.Contains(piiKinds, k) {
			return fmt.Errorf("there is no kind of detail %q: use %s", k, strings.Join(piiKinds, ", "))
		}
		if slices.Contains(r.Kinds[:i], k) {
			return fmt.Errorf("kind %q is listed twice", k)
		}
	}
	return nil
}

var (
	// Names and hosts may be written in any script; the sign between them may be wide, or spelled to fool robots.
	mailPattern = regexp.MustCompile(`(?i)[\pL\pN][\pL\pN\pM._%+-]*(?:[@＠﹫]|\s?(?:\(at\)|\[at\]|\{at\})\s?)[\pL\pN\pM-]+(?:\.[\pL\pN\pM-]+)*` +
		`(?:\.|\s?(?:\(dot\)|\[dot\]|\{dot\})\s?)(?:xn--[a-z0-9-]+|\pL[\pL\pM]+)`)
	// A mail address as it is said aloud. Only hosts of mail count, for "look at example dot com" is none.
	spokenMailPattern = regexp.MustCompile(`(?i)\b[a-z0-9][\w+-]*(?:(?:\s+(?:dot|underscore|dash)\s+|\.)[\w+-]+){0,4}\s+at\s+` +
		`(?:gmail|googlemail|hotmail|icloud|proton\s?mail|gmx)(?:\s+dot\s+|\.)[a-z]{2,3}\b`)
	// A phone number is a run of digits with the signs that people put between them.
	phonePattern = regexp.MustCompile(`(?:\+|\b|\()[0-9][0-9 ().\-/]{5,22}[0-9]\b`)
	// House number, one to three words, and a word for a street; or a German or Dutch street name with its number.
	addressPattern = regexp.MustCompile(`(?i)\b\d{1,5}[a-z]?,?\s+(?:[a-z][\w'.-]*\s+){1,3}(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|terrace|place|pl|highway|hwy|parkway|pkwy)\b\.?` +
		`|\b[a-zäöüß-]{3,}(?:straße|strasse|str\.|gasse|platz|allee|weg|straat|laan)\s+\d{1,4}[a-z]?\b`)
	// Not in the middle of a mail address, but behind the dot or the doubled sign that people put before a name.
	handlePattern = regexp.MustCompile(`(^|[^\w@＠.]|(?:^|\s)[.@＠]+)[@＠][\pL\pN_][\pL\pN\pM_]*(?:[.@＠-]+[\pL\pN_][\pL\pN\pM_]*)*`)
)

func (r MaskPII) prepare(s *scene) (judge, error) {
	want := func(kind string) bool { return len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind) }
	mask := func(text string) (string, int) {
		count := 0
		if want("mail") && strings.ContainsAny(text, "@＠﹫([{") {
			text = replaceAll(mailPattern, text, &count, func(string) string { return maskMail })
		}
		if want("mail") && strings.Contains(text, " ") {
			text = replaceAll(spokenMailPattern, text, &count, func(string) string { return maskMail })
		}
		digits := 0
		for _, c := range text {
			if unicode.IsDigit(c) {
				digits++
			}
		}
		if want("address") && digits > 0 {
			text = replaceAll(addressPattern, text, &count, func(found string) string {
				if !isAddress(found) {
					return found
				}
				return maskAddress
			})
		}
		if want("phone") && digits >= 7 {
			text = maskPhones(text, &count)
		}
		if want("handle") && strings.ContainsAny(text, "@＠") {
			text = replaceAll(handlePattern, text, &count, func(found string) string {
				return found[:handlePattern.FindStringSubmatchIndex(found)[3]] + maskHandle
			})
		}
		return text, count
	}
	return judge{mask: func(i int) (string, string, int) {
		response, a := mask(s.response(i))
		speech, b := mask(s.speech(i))
		return response, speech, a + b
	}}, nil
}

// replaceAll is regexp.ReplaceAllStringFunc that counts the real changes.
func replaceAll(p *regexp.Regexp, text string, count *int, f func(string) string) string {
	return p.ReplaceAllStringFunc(text, func(found string) string {
		now := f(found)
		if now != found {
			*count++
		}
		return now
	})
}

// maskPhones looks for numbers in a form of the text that has the digits, spaces and dashes of ASCII alone, and masks
// them in the text itself.
func maskPhones(text string, count *int) string {
	plain, at := plainNumbers(text)
	var b strings.Builder
	done := 0
	for _, found := range phonePattern.FindAllStringIndex(plain, -1) {
		if !isPhone(plain[found[0]:found[1]]) {
			continue
		}
		b.WriteString(text[done:at[found[0]]])
		b.WriteString(maskPhone)
		done = at[found[1]]
		*count++
	}
	b.WriteString(text[done:])
	return b.String()
}

// plainNumbers writes each character of a text as one byte: digits, spaces and dashes of all scripts as those of ASCII,
// other letters as a letter, and other signs as one that stands in no number. at says where in the text each byte's
// character begins, and where the text ends.
func plainNumbers(text string) (plain string, at []int) {
	b := make([]byte, 0, len(text))
	at = make([]int, 0, len(text)+1)
	for i, c := range text {
		switch {
		case c < unicode.MaxASCII:
		case unicode.IsDigit(c):
			c = '0' + digitValue(c)
		case unicode.Is(unicode.Zs, c):
			c = ' '
		case unicode.Is(unicode.Pd, c) || c == '\u2212':
			c = '-'
		case c == '\uff0b':
			c = '+'
		case unicode.IsLetter(c):
			c = 'x'
		default:
			c = '~'
		}
		b, at = append(b, byte(c)), append(at, i)
	}
	return string(b), append(at, len(text))
}

// digitValue is the value of a decimal digit of any script. Unicode keeps each script's ten in a row, from zero.
func digitValue(c rune) rune {
	for _, r := range unicode.Nd.R16 {
		if rune(r.Lo) <= c && c <= rune(r.Hi) {
			return (c - rune(r.Lo)) % 10
		}
	}
	for _, r := range unicode.Nd.R32 {
		if rune(r.Lo) <= c && c <= rune(r.Hi) {
			return (c - rune(r.Lo)) % 10
		}
	}
	return 0
}

// isAddress tells "12 Old Mill Road" from "12 of us on the road": street names hold no such small words.
func isAddress(found string) bool {
	for _, w := range strings.Fields(strings.ToLower(found)) {
		switch w {
		case "a", "an", "the", "of", "by", "on", "in", "at", "to", "my", "your", "his", "her", "our", "this", "that", "is", "are", "was",
			"and", "or", "for", "with", "more", "times", "minutes", "seconds", "hours", "days":
			return false
		}
	}
	return true
}

// isPhone tells a phone number from a date, a score or a big number: 7 to 15 digits (ITU-T E.164 allows 15), and either a
// plus, a leading zero, or at least one sign between the digits and groups that are not those of a date or of thousands.
func isPhone(found string) bool {
	digits := 0
	for _, c := range found {
		if unicode.IsDigit(c) {
			digits++
		}
	}
	if digits < 7 || digits > 15 {
		return false
	}
	if found[0] == '+' {
		return true
	}
	groups := strings.FieldsFunc(found, func(c rune) bool { return !unicode.IsDigit(c) })
	if len(groups) == 1 {
		return found[0] == '(' || found[0] == '0' && digits >= 9 || digits == 10 || digits == 11
	}
	if startsWithDate(groups) || allYears(groups) || isCounting(groups) || len(groups) == 2 && len(groups[0]) == 1 && found[1] == '.' {
		return false // the last is a decimal fraction
	}
	if found[0] == '(' || found[0] == '0' && digits >= 9 {
		return true
	}
	for _, g := range groups {
		if len(g) < 2 && digits < 11 {
			return false // counting, scores
		}
	}
	thousands := len(groups[0]) <= 3
	for _, g := range groups[1:] {
		thousands = thousands && len(g) == 3
	}
	return !thousands || digits == 10 && strings.Contains(found, "-")
}

// startsWithDate reports whether groups of digits begin with year, month and day, or day, month and year.
func startsWithDate(groups []string) bool {
	if len(groups) < 3 {
		return false
	}
	a, b, c := groups[0], groups[1], groups[2]
	if len(a) == 4 {
		a, c = c, a
	}
	return len(a) <= 2 && len(b) <= 2 && isYear(c) && isNumber(a, 1, 31) && isNumber(b, 1, 31)
}

// allYears reports whether groups of digits are years, as in 2019-2024.
func allYears(groups []string) bool {
	return !slices.ContainsFunc(groups, func(g string) bool { return !isYear(g) })
}

func isYear(group string) bool { return len(group) == 4 && isNumber(group, 1900, 2099) }

func isNumber(group string, least, most int) bool {
	n, err := strconv.Atoi(group)
	return err == nil && n >= least && n <= most
}

// isCounting reports whether somebody counts: three numbers or more, each one more, or each one less, than that before it.
func isCounting(groups []string) bool {
	if len(groups) < 3 {
		return false
	}
	step := 0
	for i := 1; i < len(groups); i++ {
		a, errA := strconv.Atoi(groups[i-1])
		b, errB := strconv.Atoi(groups[i])
		d := b - a
		if errA != nil || errB != nil || d != 1 && d != -1 || step != 0 && d != step {
			return false
		}
		step = d
	}
	return true
}
