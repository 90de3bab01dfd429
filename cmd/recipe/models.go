package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"banter/stdlib/models"
)

// modelsCmd lists, fetches and finds models.
type modelsCmd struct {
	List modelsListCmd `cmd:"" help:"List the models that are known by name."`
	Pull modelsPullCmd `cmd:"" help:"Fetch a model. A fetch that broke off goes on where it stopped."`
	Path modelsPathCmd `cmd:"" help:"Print where a model lies, after checking that it is whole."`
}

type modelsListCmd struct {
	Kind string `enum:"asr,vad,lm,all" default:"all" help:"Only speech recognition (asr), voice activity (vad) or language models (lm)."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// listedModel is a row of the list.
type listedModel struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Bytes    int64  `json:"bytes,omitempty"` // 0 where not known before the first fetch
	Licence  string `json:"licence"`
	Verified bool   `json:"verified"` // its digest is known before the first fetch
	Path     string `json:"path,omitempty"`
	About    string `json:"about"`
}

func (c *modelsListCmd) Run(_ context.Context, out io.Writer) error {
	var rows []listedModel
	for _, e := range models.List() {
		if c.Kind != "all" && string(e.Kind) != c.Kind {
			continue
		}
		row := listedModel{Name: e.Name, Kind: string(e.Kind), Bytes: e.Size(), Licence: e.Licence, Verified: e.Verified(), About: e.About}
		path, there, err := models.Locate(e)
		if err != nil {
			return err
		}
		if there {
			row.Path = path
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return printJSON(out, rows)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tKIND\tSIZE\tLICENCE\tHERE\tWHAT IT IS")
	trusted := false
	for _, r := range rows {
		size, here := "?", "no"
		if r.Bytes > 0 {
			size = fmt.Sprintf("%.4g MB", float64(r.Bytes)/1e6)
		}
		if r.Path != "" {
			here = "yes"
		}
		name := r.Name
		if !r.Verified {
			name += " *"
			trusted = true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, r.Kind, size, r.Licence, here, r.About)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if trusted {
		fmt.Fprintln(out, "\n* Its digest is not known here: the first fetch records it, and later uses are held to that.")
	}
	return nil
}

type modelsPullCmd struct {
	Name []string `arg:"" help:"Names, as \"recipe models list\" gives them."`
}

func (c *modelsPullCmd) Run(ctx context.Context, out io.Writer) error {
	for _, name := range c.Name {
		m, err := models.Pull(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s  sha256:%s  %s\n", m.Name, m.SHA256, m.Path)
	}
	return nil
}

type modelsPathCmd struct {
	Name string `arg:"" help:"A name, as \"recipe models list\" gives it, or a path."`
}

func (c *modelsPathCmd) Run(ctx context.Context, out io.Writer) error {
	m, err := models.Resolve(ctx, c.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, m.Path)
	return err
}
