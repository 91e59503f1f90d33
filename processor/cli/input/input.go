// Package input reads the input of commands: the files, archives and S3 objects at their
// paths, and Sigma rules. Unreadable records go to the dead letter.
package input

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/screen"
	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
	"keytrail/schemas/decoding"
)

// Input reads for one command. It is not safe for concurrent use.
type Input struct {
	Ctx    context.Context // reading ends when it is done
	Stdin  io.Reader
	Stdout *screen.Output
	Stderr *screen.Diagnostics
	// Writes are files that the command, or the installation that it serves, writes to.
	Writes []string
	Limits decoding.Limits // as FileFlags were given

	aws        client.Config
	deadLetter string
}

// FileFlags registers the flags of the commands that read files, AWSFlags included.
func (in *Input) FileFlags(cmd *cobra.Command) {
	in.Limits = decoding.Limits{}.WithDefaults()
	l, low, high := &in.Limits, &decoding.LeastLimits, &decoding.MostLimits
	cmd.Flags().StringVar(&in.deadLetter, "dead-letter", "",
		"append records that could not be processed to `FILE`, as JSON lines")
	flags.Size(cmd, &l.CompressedBytes, "max-compressed", "largest `size` of a compressed object",
		low.CompressedBytes, high.CompressedBytes)
	flags.Size(cmd, &l.InflatedBytes, "max-inflated", "largest `size` of an object, inflated",
		low.InflatedBytes, high.InflatedBytes)
	flags.Integer(cmd, &l.Ratio, "max-ratio", "largest `ratio` of inflated to compressed bytes", low.Ratio, high.Ratio)
	flags.Size(cmd, &l.RecordBytes, "max-record", "largest `size` of a record", low.RecordBytes, high.RecordBytes)
	flags.Size(cmd, &l.FieldBytes, "max-field", "largest `size` of a value that is read from a record",
		low.FieldBytes, high.FieldBytes)
	flags.Integer(cmd, &l.Depth, "max-depth", "deepest `nesting` inside a record", low.Depth, high.Depth)
	flags.Section(cmd, "Limits of input", "max-compressed", "max-inflated", "max-ratio", "max-record", "max-field",
		"max-depth")
	in.AWSFlags(cmd)
}

// AWSFlags registers the flags of the commands that may call AWS.
func (in *Input) AWSFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&in.aws.Region, "aws-region", "", "AWS `region`; by default that of the environment or the profile")
	f.StringVar(&in.aws.Profile, "aws-profile", "", "`profile` of AWS's shared configuration files")
	f.StringVar(&in.aws.RoleARN, "aws-role", "", "`ARN` of a role to assume")
	f.StringVar(&in.aws.Endpoint, "aws-endpoint", "", "`URL` of a service compatible with AWS; by default AWS itself")
	flags.Section(cmd, "AWS", "aws-region", "aws-profile", "aws-role", "aws-endpoint")
}

// AWSConfig returns the configuration with which AWS is called.
func (in *Input) AWSConfig() (aws.Config, error) {
	for _, p := range in.aws.Problems() {
		return aws.Config{}, fmt.Errorf("cannot use %q as AWS's %s: want %s", p.Value, p.Field, p.Allowed)
	}
	return client.Load(in.Ctx, in.aws)
}

// Objects yields the objects at paths, with the files inside archives: "-" is standard input,
// and s3://BUCKET/PREFIX the objects there. A path that does not exist is an error; a file
// inside a directory that cannot be read is an object that fails to open, and so a dead
// letter. Reading from standard input or a pipe ends when in.Ctx is done.
func (in *Input) Objects(paths []string) iter.Seq2[source.Object, error] {
	return in.offer(paths, in.found(paths))
}

// InOrder yields Objects in order of delivery.
func (in *Input) InOrder(paths []string) iter.Seq2[source.Object, error] {
	return in.offer(paths, source.InOrder(in.found(paths)))
}

func (in *Input) offer(paths []string, objects iter.Seq2[source.Object, error]) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		if err := check(paths); err != nil {
			yield(source.Object{}, err)
			return
		}
		for o, err := range source.Archives(in.withoutOutputs(paths, objects)) {
			if o.Name == source.Stdin {
				o.Open = func() (io.ReadCloser, error) { return io.NopCloser(in.Stdin), nil }
			}
			if err == nil && o.Size < 0 {
				o.Open = Interruptible(in.Ctx, o.Open)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// withoutOutputs omits the output files: dead letters, the files of sinks, and standard
// output if that is a file. It skips one inside a directory; one that is named is an error.
func (in *Input) withoutOutputs(paths []string, objects iter.Seq2[source.Object, error]) iter.Seq2[source.Object,
	error] {
	outputs := source.NewOutputs(in.Writes...)
	if f := in.Stdout.File(); f != nil {
		outputs.AddFile(f)
	}
	return func(yield func(source.Object, error) bool) {
		for o, err := range objects {
			switch named := slices.Contains(paths, o.Name); {
			case err == nil && named && outputs.Is(&o):
				err = fmt.Errorf("cannot read %q: it is an output, of this command or of a sink; name another file", o.Name)
			case err == nil && !named && outputs.Has(&o):
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// check returns an error for the first path that is not an S3 URL and does not exist.
func check(paths []string) error {
	for _, path := range paths {
		if strings.HasPrefix(path, s3.Scheme) {
			if _, _, err := s3.ParseURL(path); err != nil {
				return err
			}
			continue
		}
		if _, err := os.Stat(path); err != nil && path != source.Stdin {
			return fmt.Errorf("cannot read %q: %w", path, err)
		}
	}
	return nil
}

// found yields files and S3 objects in the order of paths. An unreadable file in a directory
// is an object that fails to open. A failed S3 listing is an error, because its missing part
// is unknown.
func (in *Input) found(paths []string) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		var client *s3.Client // made once it is needed
		for _, path := range paths {
			if !strings.HasPrefix(path, s3.Scheme) {
				if !files(path, yield) {
					return
				}
				continue
			}
			bucket, prefix, err := s3.ParseURL(path)
			if err == nil && client == nil {
				var cfg aws.Config
				if cfg, err = in.AWSConfig(); err == nil {
					client = s3.NewClient(cfg)
				}
			}
			if err != nil {
				yield(source.Object{}, err)
				return
			}
			n := 0
			for o, err := range client.Objects(in.Ctx, bucket, prefix) {
				if n++; !yield(o, err) || err != nil {
					return
				}
			}
			if n == 0 {
				yield(source.Object{}, fmt.Errorf("there is nothing below %s", path))
				return
			}
		}
	}
}

// files yields the objects at one path of the file system. It reports whether to
// continue.
func files(path string, yield func(source.Object, error) bool) bool {
	for o, err := range source.Objects([]string{path}) {
		if err != nil { // a file in a directory affects only itself
			why := err
			o, err = source.Object{Name: path, Open: func() (io.ReadCloser, error) { return nil, why }}, nil
		}
		if !yield(o, err) {
			return false
		}
	}
	return true
}

// One returns the object that open opens as a sequence.
func One(name string, open func() io.ReadCloser) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		yield(source.Object{Name: name, Size: -1, Open: func() (io.ReadCloser, error) { return open(), nil }}, nil)
	}
}

// Interruptible wraps a source that may block a reader forever: the read ends when ctx is
// done. The goroutine that waits on the reader's behalf ends with the next byte, or with
// the process.
func Interruptible(ctx context.Context, open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe() // holds nothing: memory is Copy's 32 KiB
		context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
		go func() {
			body, err := open()
			if err == nil {
				_, err = io.Copy(w, body)
				body.Close()
			}
			w.CloseWithError(err) // nil: the end
		}()
		return r, nil
	}
}
