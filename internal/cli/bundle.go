package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

const (
	bundleEvents = 2000     // the newest, of all nodes
	bundleLog    = 16 << 20 // bytes of one log
)

func (a *app) supportBundle() *cobra.Command {
	var data, config, file string
	var nodes []string
	c := &cobra.Command{
		Use:   "support-bundle",
		Short: "Put what helps to find a defect into one file, without secrets",
		Long: `Write a .tar.gz with versions, configuration, the doctor's findings, conductors, operations, the newest events, all
nodes, goroutines and metrics of the server and, for each --node, its story and its logs. Values that are secret by
their name, credentials in URLs and keys are masked. Logs of machines are a stranger's text: look at them before
you give the file away. Only its owner may read the file.`,
		Example: `  ingot support-bundle
  ingot support-bundle --node rack1-u3 --data /var/lib/ingot --config /etc/ingot/ingot.conf`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if file == "" {
				file = "ingot-support-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
			}
			out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return hint(err, "--file names another")
			}
			b := newBundle(out)
			a.collect(cmd.Context(), c, b, data, config, nodes)
			if err := errors.Join(b.close(), out.Close()); err != nil {
				return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(file))
			}
			return a.print(cmd, map[string]any{"file": file, "holds": b.names}, func(w io.Writer) {
				fmt.Fprintf(w, "wrote %s, which only you may read; it holds\n", file)
				for _, n := range b.names {
					fmt.Fprintln(w, "  "+oneLine(n))
				}
			})
		}),
	}
	a.online(c)
	c.Flags().StringVarP(&a.format, "output", "o", "table", "print as table, json or yaml")
	c.Flags().StringVar(&data, "data", "./ingot-data", "the server's data folder")
	c.Flags().StringVar(&config, "config", "", "the server's configuration file")
	c.Flags().StringVar(&file, "file", "", "where to write (default ingot-support-TIME.tar.gz)")
	c.Flags().StringArrayVar(&nodes, "node", nil, "a node whose story and logs to add; more than once for more")
	return c
}

// collect asks for everything; what cannot be had is told in the bundle and stops nothing.
func (a *app) collect(ctx context.Context, c *client.Client, b *bundle, data, config string, nodes []string) {
	b.json("version.json", func() (any, error) { return versions(), nil })
	b.json("config.json", func() (any, error) {
		if a.Settings == nil {
			return nil, errors.New("this build cannot read the configuration")
		}
		return a.Settings(config)
	})
	b.json("doctor.json", func() (any, error) { return a.diagnose(ctx, c, data, config) })
	b.json("conductors.json", func() (any, error) { return objects(c.Conductors(ctx)) })
	b.json("operations.json", func() (any, error) { return c.Operations(ctx, client.OperationQuery{}) })
	b.json("events.json", func() (any, error) { return newestEvents(ctx, c, "") })
	b.json("nodes.json", func() (any, error) {
		list, err := c.Nodes(ctx, client.NodeQuery{Detail: true})
		all := make([]client.Object, len(list))
		for i := range list {
			all[i] = list[i].All
		}
		return all, err
	})
	for _, dump := range []string{"goroutines", "metrics"} {
		b.text("server/"+dump+".txt", func(w io.Writer) error { return c.Dump(ctx, dump, w) })
	}
	for _, n := range nodes {
		a.collectNode(ctx, c, b, n)
	}
}

func (a *app) collectNode(ctx context.Context, c *client.Client, b *bundle, ident string) {
	dir := "nodes/" + fileName(ident) + "/"
	b.json(dir+"node.json", func() (any, error) {
		n, err := c.Node(ctx, ident)
		if err != nil {
			return nil, err
		}
		return n.All, nil
	})
	b.json(dir+"operation.json", func() (any, error) { return c.Operation(ctx, ident) })
	b.json(dir+"events.json", func() (any, error) { return newestEvents(ctx, c, ident) })
	logs, err := c.Logs(ctx, ident)
	if err != nil {
		b.missing(dir+"logs", err)
	}
	for _, l := range logs {
		b.text(dir+"logs/"+fileName(l.Name), func(w io.Writer) error { return c.LogData(ctx, ident, l.Name, w) })
	}
}

func versions() map[string]any {
	out := map[string]any{"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "at": time.Now().UTC()}
	if info, ok := debug.ReadBuildInfo(); ok {
		out["ingot"] = info.Main.Version
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "vcs") || s.Key == "-tags" {
				out[s.Key] = s.Value
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		out["kernel"] = strings.TrimSpace(string(b))
	}
	return out
}

func objects(list []client.Conductor, err error) (any, error) {
	all := make([]client.Object, len(list))
	for i := range list {
		all[i] = list[i].All
	}
	return all, err
}

func newestEvents(ctx context.Context, c *client.Client, node string) ([]metal.HistoryEvent, error) {
	events, _, err := allEvents(ctx, c, node, eventFlags{last: bundleEvents})
	return events, err
}

// fileName makes a name that stays in its folder.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_.", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
	if strings.Trim(s, ".") == "" {
		return "_"
	}
	return s
}

// bundle is the archive as it grows. The first error ends it, and close tells it.
type bundle struct {
	zip   *gzip.Writer
	tar   *tar.Writer
	names []string
	gone  []string
	err   error
}

func newBundle(w io.Writer) *bundle {
	z := gzip.NewWriter(w)
	return &bundle{zip: z, tar: tar.NewWriter(z)}
}

func (b *bundle) add(name string, data []byte) {
	if b.err != nil {
		return
	}
	b.err = b.tar.WriteHeader(&tar.Header{Name: path.Join("ingot-support", name), Mode: 0o600, Size: int64(len(data)), ModTime: time.Now(), Typeflag: tar.TypeReg})
	if b.err == nil {
		_, b.err = b.tar.Write(data)
	}
	b.names = append(b.names, name)
}

func (b *bundle) missing(name string, err error) {
	b.gone = append(b.gone, scrubText(fmt.Sprintf("%s: %v", name, err)))
}

func (b *bundle) json(name string, get func() (any, error)) {
	v, err := get()
	if err != nil {
		b.missing(name, err)
		return
	}
	data, err := scrubJSON(v)
	if err != nil {
		b.missing(name, err)
		return
	}
	b.add(name, data)
}

func (b *bundle) text(name string, get func(io.Writer) error) {
	var text bytes.Buffer
	if err := get(&capped{w: &text, left: bundleLog}); err != nil && !errors.Is(err, errCapped) {
		b.missing(name, err)
		return
	}
	b.add(name, []byte(scrubText(text.String())))
}

// close says what is missing, and ends the archive.
func (b *bundle) close() error {
	if b.gone != nil {
		b.add("missing.txt", []byte(strings.Join(b.gone, "\n")+"\n"))
	}
	return errors.Join(b.err, b.tar.Close(), b.zip.Close())
}

var errCapped = errors.New("the rest is left out")

// capped takes so many bytes and no more.
type capped struct {
	w    io.Writer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.left {
		p = p[:c.left]
		_, _ = c.w.Write(p) // a buffer
		c.left = 0
		return len(p), errCapped
	}
	c.left -= len(p)
	return c.w.Write(p)
}
