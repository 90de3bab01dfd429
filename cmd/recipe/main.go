// Command recipe runs Banter's recipes, keeps its store, and starts its Jupyter kernel.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"banter/dsl"
	"banter/internal/problem"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	Run         runCmd         `cmd:"" help:"Run a recipe."`
	Plan        planCmd        `cmd:"" help:"Say which steps of a recipe will run, and what its training takes: steps, tokens, memory, time. Nothing runs."`
	Params      paramsCmd      `cmd:"" help:"List the parameters of a recipe."`
	Verify      verifyCmd      `cmd:"" help:"Read everything in the store back and say what is wrong."`
	Explain     explainCmd     `cmd:"" help:"Say what a step is made of, whether it is stored, and how it differs from the stored one nearest to it."`
	Freeze      freezeCmd      `cmd:"" help:"Cut a notebook down to what reaches its outputs, as a recipe."`
	Thaw        thawCmd        `cmd:"" help:"Make a notebook of a recipe."`
	Graph       graphCmd       `cmd:"" help:"Draw the steps of a recipe's last run."`
	Diff        diffCmd        `cmd:"" help:"Put two recipes or runs side by side: parameters, steps, counts, metrics."`
	Forget      forgetCmd      `cmd:"" help:"List all that the removal of an author or a stream touches, and say how to make it anew."`
	Trace       traceCmd       `cmd:"" help:"Walk a training row back to its messages, words, recording and steps."`
	Cache       cacheCmd       `cmd:"" help:"Look after the store."`
	Leaderboard leaderboardCmd `cmd:"" help:"Compare the evaluations of several runs."`
	Chat        chatCmd        `cmd:"" help:"Talk to a base model and an adapter, side by side."`
	Models      modelsCmd      `cmd:"" help:"List, fetch and find models."`
	Kernel      kernelCmd      `cmd:"" help:"Install or start the Jupyter kernel."`
	Doctor      doctorCmd      `cmd:"" help:"Say what was found on this machine, and what to do about what is missing."`
}

// exitCode ends the process with a code that is not 1.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal is not waited for. One that comes at once is the first again: timeout(1) tells process and group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	code := -1
	asJSON := slices.Contains(args, "--json")
	s := streams{stdout, stderr, stdout, stderr}
	if !asJSON {
		s.out, s.err = plain{stdout}, plain{stderr}
	}
	parser, err := kong.New(&c, kong.Name("recipe"),
		kong.Description("Turn recorded streams and their chat into speech -> response pairs and a trained adapter."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}), kong.Writers(s.out, s.err), kong.Exit(func(c int) { code = c }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(s.out, (*io.Writer)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return dsl.ExitFailed
	}
	if len(args) > 0 && args[0] == "help" { // as many programs have it
		args = append(slices.Clone(args[1:]), "--help")
	}
	k, err := parser.Parse(args)
	if code >= 0 { // --help was asked for
		return code
	}
	if err != nil {
		if err = misused(parser, err, asJSON); err == nil {
			return dsl.ExitUsage
		}
	} else {
		err = k.Run()
	}
	var exit exitCode
	var usage *dsl.UsageError
	code = dsl.ExitFailed
	switch {
	case err == nil:
		return dsl.ExitDone
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		code = dsl.ExitUsage
	}
	if asJSON {
		if e := failure(err, code).write(stdout); e == nil {
			return code
		}
	}
	fmt.Fprintln(s.err, "error:", err)
	return code
}

// misused says what is wrong with a command line. Who named no command, or only the first word of one, is shown what there is,
// which is all the answer that they want.
func misused(parser *kong.Kong, err error, asJSON bool) error {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) {
		return &dsl.UsageError{Err: err}
	}
	at := wrong.Context.Model.Node
	if selected := wrong.Context.Selected(); selected != nil {
		at = selected
	}
	for _, part := range wrong.Context.Path { // of "recipe cache", which is no whole command
		if part.Command != nil {
			at = part.Command
		}
	}
	if strings.HasPrefix(err.Error(), "expected one of") && !asJSON {
		parser.Stdout = parser.Stderr
		if e := wrong.Context.PrintUsage(false); e != nil {
			return e
		}
		return nil
	}
	text := err.Error()
	if at == wrong.Context.Model.Node {
		text = strings.Replace(text, "unexpected argument", "unknown command", 1)
	}
	return &dsl.UsageError{Err: fmt.Errorf("%s (see %s --help)", text, at.FullPath())}
}

// failed is an error for programs, on one line.
type failed struct {
	Event string `json:"event"` // "error"
	Error string `json:"error"` // the whole sentence
	Doing string `json:"doing,omitempty"`
	Path  string `json:"path,omitempty"`
	At    string `json:"at,omitempty"`
	Fix   string `json:"fix,omitempty"`
	Exit  int    `json:"exit"`
}

func failure(err error, code int) failed {
	f := failed{Event: "error", Error: err.Error(), Exit: code}
	var p *problem.Error
	if errors.As(err, &p) {
		f.Doing, f.Path, f.At, f.Fix = p.Op, p.Path, p.At, p.Fix
	}
	return f
}

func (f failed) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(f)
}

// streams is where commands write: what people read goes to out and err, and as it is what programs read, or what draws bars on a
// terminal and looks after names by itself.
type streams struct{ out, err, rawOut, rawErr io.Writer }

// plain keeps what names of files, chat and other people's stores hold from steering a terminal.
type plain struct{ w io.Writer }

var steering = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}]`)

func (p plain) Write(b []byte) (int, error) {
	if _, err := p.w.Write(steering.ReplaceAllLiteral(b, []byte("\ufffd"))); err != nil {
		return 0, err
	}
	return len(b), nil
}
