package console

import "testing"

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"\thave (string)":         " have (string)", // as the type checker goes on
		"\x1b[31mred\u202etxt.go": "\ufffd[31mred\ufffdtxt.go",
		"Zoë 莉":                   "Zoë 莉",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}
