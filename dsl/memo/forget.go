package memo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Tombstone names what must not come into the store again: an author, by the hash that stands in tables, or a stream.
type Tombstone struct {
	Author string `json:"author,omitempty"`
	Salt   string `json:"salt,omitempty"` // under which the hash was made; empty: the default
	Stream string `json:"stream,omitempty"`
}

const (
	tombstonesFile   = "forgotten.json"
	tombstonesFormat = "banter-forgotten/1"
	maxTombstones    = 16 << 20 // bytes
)

type tombstones struct {
	Format    string      `json:"format"`
	Forgotten []Tombstone `json:"forgotten"`
}

// Tombstones lists what must not come into the store again, sorted. A list that cannot be read is an error: going on
// without it would bring back what somebody asked to be forgotten.
func (s *Store) Tombstones() ([]Tombstone, error) {
	b, err := readBounded(filepath.Join(s.dir, tombstonesFile), maxTombstones)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var t tombstones
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err == nil && t.Format != tombstonesFormat {
		err = fmt.Errorf("%s does not say %q", tombstonesFile, tombstonesFormat)
	}
	if err != nil {
		return nil, s.problem("read what is forgotten in", err)
	}
	return t.Forgotten, nil
}

// Bury adds tombstones.
func (s *Store) Bury(ctx context.Context, more ...Tombstone) error {
	unlock, err := s.lock(ctx, "forgotten")
	if err != nil {
		return err
	}
	defer unlock()
	list, err := s.Tombstones()
	if err != nil {
		return err
	}
	list = append(list, more...)
	slices.SortFunc(list, func(a, b Tombstone) int {
		return strings.Compare(a.Author+"\x00"+a.Salt+"\x00"+a.Stream, b.Author+"\x00"+b.Salt+"\x00"+b.Stream)
	})
	b, err := json.MarshalIndent(tombstones{tombstonesFormat, slices.Compact(list)}, "", " ")
	if err != nil {
		return err
	}
	if err := s.writeFile(tombstonesFile, append(b, '\n'), true); err != nil {
		return s.problem("write to store", err)
	}
	return nil
}

// Remove removes steps with all that is theirs alone: objects, unfinished state, and what was set aside as damaged, of
// which nobody knows whose it is. Leavings of killed runs go with it.
func (s *Store) Remove(ctx context.Context, keys []Key) (GCReport, error) {
	removed := 0
	for _, k := range keys {
		if !Digest(k).Valid() {
			return GCReport{}, fmt.Errorf("%q is not a key", string(k))
		}
		if err := s.removeStep(ctx, k); err != nil {
			return GCReport{}, err
		}
		removed++
	}
	for _, sub := range []string{quarantineDir, draftsDir} {
		entries, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil {
			return GCReport{}, s.problem("read store", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || sub == draftsDir && (e.IsDir() || time.Since(info.ModTime()) < time.Minute) {
				continue // it went away; or gc knows whether somebody is at work on it
			}
			if err := s.at("remove from " + sub); err != nil {
				return GCReport{}, s.problem("remove from store", err)
			}
			if err := os.RemoveAll(filepath.Join(s.dir, sub, e.Name())); err != nil {
				return GCReport{}, s.problem("remove from store", err)
			}
		}
	}
	r, err := s.GC(ctx, -1, false) // which takes the objects that nothing names any more
	r.Manifests += removed
	return r, err
}

func (s *Store) removeStep(ctx context.Context, k Key) error {
	unlock, err := s.lock(ctx, string(k))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.at("remove manifest"); err != nil {
		return s.problem("remove from store", err)
	}
	if err := os.Remove(s.manifestPath(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.problem("remove from store", err)
	}
	if err := s.at("remove scratch"); err != nil {
		return s.problem("remove from store", err)
	}
	if err := os.RemoveAll(s.scratch(k)); err != nil {
		return s.problem("remove from store", err)
	}
	return syncDir(filepath.Dir(s.manifestPath(k)))
}
