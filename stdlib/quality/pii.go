package quality

import (
	"fmt"
	"regexp"
	"slices"
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
	mailPattern = regexp.MustCompile(`(?i)[a-z0-9][a-z0-9._%+-]*(?:@|\s?(?:\(at\)|\[at\])\s?)[a-z0-9-]+(?:\.[a-z0-9-]+)*(?:\.|\s?(?:\(dot\)|\[dot\])\s?)[a-z]{2,}\b`)
	// A phone number is a run of digits with the signs that people put between them.
	phonePattern = regexp.MustCompile(`(?:\+|\b|\()[0-9][0-9 ().\-/]{5,22}[0-9]\b`)
	// House number, one to three words, and a word for a street; or a German or Dutch street name with its number.
	addressPattern = regexp.MustCompile(`(?i)\b\d{1,5}[a-z]?,?\s+(?:[a-z][\w'.-]*\s+){1,3}(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|terrace|place|pl|highway|hwy|parkway|pkwy)\b\.?` +
		`|\b[a-zäöüß-]{3,}(?:straße|strasse|str\.|gasse|platz|allee|weg|straat|laan)\s+\d{1,4}[a-z]?\b`)
	handlePattern = regexp.MustCompile(`(^|[^\w@.])@([\pL\d_][\pL\d_.-]*)`)
)

func (r MaskPII) prepare(s *scene) (judge, error) {
	want := func(kind string) bool { return len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind) }
	mask := func(text string) (string, int) {
		count := 0
		if want("mail") && strings.ContainsAny(text, "@([") {
			text = replaceAll(mailPattern, text, &count, func(string) string { return maskMail })
		}
		digits := 0
		for i := range len(text) {
			if text[i] >= '0' && text[i] <= '9' {
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
			text = replaceAll(phonePattern, text, &count, func(found string) string {
				if !isPhone(found) {
					return found
				}
				return maskPhone
			})
		}
		if want("handle") && strings.Contains(text, "@") {
			text = replaceAll(handlePattern, text, &count, func(found string) string {
				return found[:strings.Index(found, "@")] + maskHandle
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
	if found[0] == '+' || found[0] == '(' || found[0] == '0' && digits >= 9 {
		return true
	}
	groups := strings.FieldsFunc(found, func(c rune) bool { return !unicode.IsDigit(c) })
	if len(groups) == 1 {
		return digits == 10 || digits == 11
	}
	if len(groups) == 3 && digits == 8 && (len(groups[0]) == 4 || len(groups[2]) == 4) {
		return false // a date
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
