package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

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
	switch {
	case c.Prompts == "-":
		return c.script(ctx, s, os.Stdin, talk)
	case c.Prompts != "":
		f, err := os.Open(c.Prompts)
		if err != nil {
			return err
		}
		defer f.Close()
		return c.script(ctx, s, f, talk)
	case !term.IsTerminal(int(os.Stdin.Fd())):
		return c.converse(ctx, s, os.Stdin, talk, nil)
	}
	fmt.Fprintln(s.out, "Say something; /new begins anew, Ctrl-C stops an answer, an empty line or Ctrl-D ends.")
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	// An interrupt would end ctx, and so the whole conversation.
	return c.converse(context.WithoutCancel(ctx), s, os.Stdin, talk, interrupts)
}

// script answers each line on its own.
func (c *chatCmd) script(ctx context.Context, s streams, in io.Reader, talk *dsl.Conversation) error {
	lines, ended := typed(in)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			fmt.Fprintln(s.out)
			return err
		case text := <-lines:
			if text == "" {
				continue
			}
			talk.Forget()
			fmt.Fprintf(s.out, "> %s\n", dsl.Printable(text))
			if _, err := talk.Turn(ctx, s.out, text); errors.Is(err, context.Canceled) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}

// converse answers line by line. An interrupt stops an answer, and ends the conversation where there is none.
func (c *chatCmd) converse(ctx context.Context, s streams, in io.Reader, talk *dsl.Conversation, interrupts <-chan os.Signal) error {
	lines, ended := typed(in)
	for {
		fmt.Fprint(s.out, "> ")
		select {
		case <-ctx.Done():
			return nil
		case <-interrupts:
			fmt.Fprintln(s.out)
			return nil
		case err := <-ended:
			fmt.Fprintln(s.out)
			return err
		case text := <-lines:
			switch text {
			case "":
				return nil
			case "/new":
				talk.Forget()
				continue
			}
			by, err := turn(ctx, s, talk, text, interrupts)
			switch {
			case by == os.Interrupt: // by hand: go on
			case by != nil || errors.Is(err, context.Canceled):
				return nil
			case err != nil:
				return err
			}
		}
	}
}

// turn answers a line, and says by which signal the answer was stopped.
func turn(ctx context.Context, s streams, talk *dsl.Conversation, text string, interrupts <-chan os.Signal) (by os.Signal, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case by = <-interrupts:
			cancel()
		case <-ctx.Done():
		}
	})
	_, err = talk.Turn(ctx, s.out, text)
	cancel()
	watch.Wait()
	return by, err
}

// typed reads lines, so that one can wait for them and for something else. ended gets what stopped it, which is nil at
// the end of in.
func typed(in io.Reader) (lines <-chan string, ended <-chan error) {
	each, last := make(chan string), make(chan error)
	go func() {
		scan := bufio.NewScanner(in)
		for scan.Scan() {
			each <- strings.TrimSpace(scan.Text())
		}
		last <- scan.Err()
	}()
	return each, last
}
