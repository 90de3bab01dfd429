// Fetch gets ECharts from the package registry that npm is set up for, checks its digest and packs it for embedding:
//
//	go run ./stdlib/chart/fetch stdlib/chart/assets/echarts.min.js.gz
//
// It does nothing where the file is there already.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"banter/internal/wholefile"
)

// The release of ECharts (Apache License 2.0) that charts are made for, and the SHA-256 of its dist/echarts.min.js.
const (
	release = "echarts@5.6.0"
	digest  = "bf4a223524e40b77c304bec67e1222cf551f14880cf42c69dc046558e11c07b1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: fetch FILE.gz")
		os.Exit(2)
	}
	if err := fetch(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "fetch %s: %v\n", release, err)
		os.Exit(1)
	}
}

func fetch(to string) error {
	if packed, err := os.ReadFile(to); err == nil {
		if source, err := unpack(packed); err == nil && sum(source) == digest {
			return nil
		}
	}
	dir, err := os.MkdirTemp("", "banter-echarts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	npm := exec.Command("npm", "pack", "--silent", "--ignore-scripts", release)
	npm.Dir = dir
	npm.Stderr = os.Stderr
	if err := npm.Run(); err != nil {
		return fmt.Errorf("npm pack: %w (install Node.js with npm, or go without live charts)", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return errors.New("npm pack made no archive")
	}
	source, err := member(found[0], "package/dist/echarts.min.js")
	if err != nil {
		return err
	}
	if got := sum(source); got != digest {
		return fmt.Errorf("echarts.min.js has SHA-256 %s, not %s", got, digest)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(source); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return wholefile.WriteBytes(to, 0o644, packed.Bytes())
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

const maxSource = 16 << 20

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxSource))
}

// member reads one file of a gzipped tar archive.
func member(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("%s is not in the archive: %w", name, err)
		}
		if h.Name == name {
			return io.ReadAll(io.LimitReader(t, maxSource))
		}
	}
}
