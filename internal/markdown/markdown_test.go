package markdown

import "testing"

func TestText(t *testing.T) {
	for s, want := range map[string]string{"a *b*\n|c|": `a \*b\* \|c\|`, "<img src=x> & `y`": "&lt;img src=x\\> &amp; \\`y\\`", "\x1b[31m": "\uFFFD\\[31m"} {
		if got := Text(s); got != want {
			t.Errorf("Text(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	for s, want := range map[string]string{"a": "`a`", "a `` b": "``` a `` b ```", "": "`  `", "two\nlines": "`two lines`"} {
		if got := Code(s); got != want {
			t.Errorf("Code(%q) = %q, want %q", s, got, want)
		}
	}
}
