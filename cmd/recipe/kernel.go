package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"

	"banter/dsl"
	"banter/kernel/install"
	"banter/kernel/session"
	"banter/kernel/wire"
	"banter/kernel/wire/prebind"
)

type kernelCmd struct {
	Install   kernelInstall   `cmd:"" help:"Tell Jupyter about the kernel."`
	Uninstall kernelUninstall `cmd:"" help:"Remove the kernel from Jupyter."`
	List      kernelList      `cmd:"" help:"List where the kernel is installed."`
	Start     kernelStart     `cmd:"" help:"Start the kernel. Jupyter does this."`
}

// kernelPlace says where a kernel is installed.
type kernelPlace struct {
	User      bool   `help:"For the current user. This is the default." xor:"place"`
	Prefix    string `help:"For the Jupyter or the virtual environment installed in DIR." placeholder:"DIR" type:"path" xor:"place"`
	SysPrefix bool   `help:"For the active virtual or Conda environment, or else the python3 on the path." aliases:"venv" xor:"place"`
	Name      string `help:"The kernel's name in notebooks." default:"banter"`
}

func (p kernelPlace) place() (install.Place, error) {
	switch {
	case p.Prefix != "":
		return install.PrefixPlace(p.Prefix), nil
	case p.SysPrefix:
		prefix, err := install.EnvironmentPrefix()
		return install.PrefixPlace(prefix), err
	}
	return install.UserPlace()
}

type kernelInstall struct {
	kernelPlace
	DisplayName string `help:"The kernel's name in menus." default:"Banter (Go)"`
}

func (c *kernelInstall) Run(ctx context.Context, out io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	place, err := c.place()
	if err != nil {
		return err
	}
	spec := install.DefaultSpec(program)
	spec.Name, spec.DisplayName = c.Name, c.DisplayName
	path, err := place.Install(spec)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "installed %s in %s\n", spec.DisplayName, path)
	if strings.HasPrefix(program, os.TempDir()+string(filepath.Separator)) {
		fmt.Fprintf(out, "note: it starts %s, which is a temporary file: build the program first, and install it from there\n", program)
	}
	return nil
}

type kernelUninstall struct {
	kernelPlace
}

func (c *kernelUninstall) Run(ctx context.Context, out io.Writer) error {
	place, err := c.place()
	if err != nil {
		return err
	}
	path, err := place.Uninstall(c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "removed %s\n", path)
	return nil
}

type kernelList struct{}

func (c *kernelList) Run(ctx context.Context, out io.Writer) error {
	found := install.List(install.Places())
	if len(found) == 0 {
		fmt.Fprintln(out, "the kernel is not installed: run `recipe kernel install`")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range found {
		note := ""
		switch {
		case k.Broken != "":
			note = k.Broken + ": " + k.Program
		case k.Shadowed:
			note = "another of this name is found first"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Name, k.DisplayName, k.Path, note)
	}
	return w.Flush()
}

type kernelStart struct {
	ConnectionFile string `help:"The file that says where to listen; Jupyter writes it." required:"" placeholder:"FILE" short:"f" type:"path"`
	Store          string `help:"Folder of stored results (default: .banter of this project)." placeholder:"DIR" env:"BANTER_STORE"`
}

func (c *kernelStart) Run(ctx context.Context, out io.Writer) error {
	// An interrupt stops a cell, not the kernel.
	signal.Ignore(os.Interrupt)
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	return serveKernel(ctx, c.ConnectionFile, c.Store)
}

// serveKernel runs the kernel of a connection file.
func serveKernel(ctx context.Context, connectionFile, store string) error {
	connection, err := wire.ReadConnection(connectionFile)
	if err != nil {
		return err
	}
	state, err := session.StateDir()
	if err != nil {
		return err
	}
	return session.Serve(ctx, session.Options{
		Connection:     connection,
		Listen:         listen,
		ConnectionFile: connectionFile,
		NewEvaluator:   session.Cells(dsl.Config{Store: store}, "banter/dsl"),
		Version:        version(),
		HistoryFile:    filepath.Join(state, "history.jsonl"),
		StateDir:       filepath.Join(state, "kernels"),
		Capture:        true,
	})
}

// listen opens a socket of the kernel, or takes it where it has been opened already, long before main.
func listen(network, address string) (net.Listener, error) {
	f := prebind.Take(address)
	if f == nil {
		return net.Listen(network, address)
	}
	defer f.Close() // the listener has a descriptor of its own
	return net.FileListener(f)
}

// version is this program's.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}
