package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"banter/internal/parquetfile"
	"banter/internal/problem"

	"github.com/parquet-go/parquet-go"
)

// The keys of a plan file's metadata.
const (
	planVersionKey = "banter.plan.version"
	planLengthKey  = "banter.plan.max_length"
	planCutKey     = "banter.plan.truncated"
)

const planVersion = "1"

// WritePlan writes a plan as Parquet: one row each, with the columns ids, input_ids, labels and position_ids.
func WritePlan(w io.Writer, p *Plan) error {
	out := parquet.NewGenericWriter[Row](w, parquet.Compression(&parquet.Zstd),
		parquet.CreatedBy("banter", planVersion, ""), // else it names the library build, and its upgrade would change the bytes
		parquet.KeyValueMetadata(planVersionKey, planVersion),
		parquet.KeyValueMetadata(planLengthKey, strconv.Itoa(p.MaxLength)),
		parquet.KeyValueMetadata(planCutKey, strconv.Itoa(p.Truncated)))
	const group = 1 << 14 // rows
	for rows := p.Rows; len(rows) > 0; {
		n := min(group, len(rows))
		if _, err := out.Write(rows[:n]); err != nil {
			return &problem.Error{Op: "write plan", Err: err}
		}
		if err := out.Flush(); err != nil {
			return &problem.Error{Op: "write plan", Err: err}
		}
		rows = rows[n:]
	}
	if err := out.Close(); err != nil {
		return &problem.Error{Op: "write plan", Err: err}
	}
	return nil
}

// ReadPlan reads what [WritePlan] wrote.
func ReadPlan(path string) (p *Plan, err error) {
	fail := func(err error) (*Plan, error) {
		return nil, &problem.Error{Op: "read plan", Path: path, Err: err, Fix: "make the plan again"}
	}
	// The Parquet reader panics on some damaged files.
	defer func() {
		if r := recover(); r != nil {
			p, err = fail(fmt.Errorf("the file is damaged: %v", r))
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return fail(errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	file, err := parquetfile.Open(f, info.Size())
	if err != nil {
		return fail(err)
	}
	if v, _ := file.Lookup(planVersionKey); v != planVersion {
		return fail(fmt.Errorf("it is not a plan of version %s (it says %q)", planVersion, v))
	}
	p = &Plan{}
	for key, n := range map[string]*int{planLengthKey: &p.MaxLength, planCutKey: &p.Truncated} {
		v, _ := file.Lookup(key)
		if *n, err = strconv.Atoi(v); err != nil || *n < 0 {
			return fail(fmt.Errorf("its %s is %q", key, v))
		}
	}
	const mostRows = 1 << 26
	if file.NumRows() > mostRows || file.NumRows() > info.Size()*64 {
		return fail(fmt.Errorf("it claims %d rows", file.NumRows()))
	}
	in := parquet.NewGenericReader[Row](file)
	defer in.Close()
	buffer := make([]Row, 256)
	for {
		n, err := in.Read(buffer)
		p.Rows = append(p.Rows, buffer[:n]...)
		clear(buffer) // the rows keep their slices
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return fail(err)
		}
	}
}
