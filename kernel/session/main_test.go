package session

import (
	"context"
	"fmt"
	"go/token"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"banter/kernel/wire"
)

func newFileSet() *token.FileSet { return token.NewFileSet() }

// TestMain lets the test binary be started as a kernel by real Jupyter clients.
func TestMain(m *testing.M) {
	if path := os.Getenv("BANTER_TEST_CONNECTION_FILE"); path != "" {
		if err := serveForTest(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveForTest(path string) error {
	c, err := wire.ReadConnection(path)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return Serve(ctx, Options{Connection: c, ConnectionFile: path, NewEvaluator: newBareEvaluator, Version: "test",
		HistoryFile: os.Getenv("BANTER_TEST_HISTORY"), StateDir: os.Getenv("BANTER_TEST_STATE"), Capture: true})
}
