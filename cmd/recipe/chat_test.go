package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"banter/dsl"
	"banter/stdlib/lm/generate"
)

// interrupted is a terminal on which somebody presses Ctrl-C when an answer begins, and once more after the second.
type interrupted struct {
	bytes.Buffer
	answers int
	press   chan<- os.Signal
}

func (w *interrupted) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("base")) {
		w.answers++
		w.press <- os.Interrupt // there is no room for it: somebody has taken it when this returns
		if w.answers == 2 {
			go func() { w.press <- os.Interrupt }()
		}
	}
	return w.Buffer.Write(p)
}

func TestInterruptStopsAnAnswerAndThenTheConversation(t *testing.T) {
	talk, err := dsl.OpenConversation(t.Context(), "../../testdata/models/lm-micro", "", generate.Options{MaxTokens: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	press := make(chan os.Signal)
	in, typing := io.Pipe()
	out := &interrupted{press: press}
	go io.WriteString(typing, "hello\nand again\n")
	if err := new(chatCmd).converse(t.Context(), streams{out: out}, in, talk, press); err != nil {
		t.Fatal(err)
	}
	if out.answers != 2 || strings.Count(out.String(), "> ") != 3 {
		t.Fatalf("%d answers were begun, want 2 and a prompt after each:\n%s", out.answers, out.String())
	}
}
