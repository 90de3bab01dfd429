package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"banter/dsl"
	"banter/stdlib/lm/generate"

	"golang.org/x/term"
)

type chatCmd struct {
	Adapter     string   `arg:"" optional:"" help:"Folder of a PEFT adapter, such as out/demo/adapter. Without one the base answers alone."`
	Base        string   `help:"Base model: a name of recipe models list, or a path." default:"lm-micro" placeholder:"MODEL"`
	Temperature float64  `help:"0 takes the likeliest token each time; more varies more." default:"0.8"`
	TopP        float64  `help:"Draw from the likeliest tokens that together have this probability." default:"0.95"`
	MinP        float64  `help:"Leave out tokens less likely than this share of the likeliest one's probability." default:"0.1"`
	TopK        int      `help:"Draw from the k likeliest tokens alone; 0 is all." default:"0"`
	Stop        []string `help:"End an answer before this text; may be given more than once." sep:"none" placeholder:"TEXT"`
	Repetition  float64  `help:"Penalty for tokens that were there already; 1 is none." default:"1"`
	MaxTokens   int      `help:"Longest answer." default:"128"`
	Seed        uint64   `help:"The same seed gives the same answers." default:"1"`
	Prompts     string   `help:"Answer each line of this file and end, instead of reading from the terminal; - is standard input." placeholder:"FILE"`
}

func (c *chatCmd) Run(ctx context.Context, s streams) error {
	talk, err := dsl.OpenConversation(ctx, c.Base, c.Adapter, generate.Options{MaxTokens: c.MaxTokens, Seed: c.Seed, Stop: c.Stop,
		Sampling: generate.Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP, Repetition: c.Repetition}})
	if err != nil {
		return err
	}
	defer talk.Close()
	if c.Prompts != "" {
		return c.script(ctx, s, talk)
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprintln(s.out, "Say something; /new begins anew, an empty line or Ctrl-D ends.")
	}
	return c.lines(ctx, s, os.Stdin, talk, false)
}

// script answers each line on its own.
func (c *chatCmd) script(ctx context.Context, s streams, talk *dsl.Conversation) error {
	if c.Prompts == "-" {
		return c.lines(ctx, s, os.Stdin, talk, true)
	}
	f, err := os.Open(c.Prompts)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.lines(ctx, s, f, talk, true)
}

func (c *chatCmd) lines(ctx context.Context, s streams, in io.Reader, talk *dsl.Conversation, apart bool) error {
	scan := bufio.NewScanner(in)
	for {
		if !apart {
			fmt.Fprint(s.out, "> ")
		}
		if !scan.Scan() {
			fmt.Fprintln(s.out)
			return scan.Err()
		}
		text := strings.TrimSpace(scan.Text())
		switch {
		case text == "/new":
			talk.Forget()
			continue
		case text == "" && apart:
			continue
		case text == "":
			return nil
		}
		if apart {
			talk.Forget()
			fmt.Fprintf(s.out, "> %s\n", dsl.Printable(text))
		}
		_, err := talk.Turn(ctx, s.out, text)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
