package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// form is the image in one form, as a file with its SHA-256.
type form struct{ name, format, path, sum string }

// prepare makes all forms of the image in dir. Without qemu-img there is no qcow2.
func prepare(dir, given string, size int64) ([]form, error) {
	forms := []form{{name: "raw", format: "raw", path: filepath.Join(dir, "image.raw")}, {name: "raw in zstd", format: "zstd", path: filepath.Join(dir, "image.zst")}}
	if err := rawAndZstd(forms[0].path, forms[1].path, given, size); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("qemu-img"); err == nil {
		for _, kind := range [][]string{{"qcow2 plain"}, {"qcow2 zlib", "-c"}, {"qcow2 zstd", "-c", "-o", "compression_type=zstd"}} {
			f := form{name: kind[0], format: "qcow2", path: filepath.Join(dir, strings.ReplaceAll(kind[0], " ", "-"))}
			args := append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, kind[1:]...), forms[0].path, f.path)
			if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("make %s: %w: %s", f.name, err, out)
			}
			forms = append(forms, f)
		}
	}
	for i := range forms {
		f, err := os.Open(forms[i].path)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		forms[i].sum = hex.EncodeToString(h.Sum(nil))
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return nil, err
		}
	}
	return forms, nil
}

// rawAndZstd writes the image, given or generated, as it is and through zstd.
func rawAndZstd(raw, packed, given string, size int64) error {
	if size < 16*mib {
		return errors.New("the image must have at least 16 MiB")
	}
	r, err := os.Create(raw)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := os.Create(packed)
	if err != nil {
		return err
	}
	defer p.Close()
	z, err := zstd.NewWriter(p, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	both := io.MultiWriter(r, z)
	if given == "" {
		return errors.Join(pour(both, size), z.Close())
	}
	g, err := os.Open(given)
	if err != nil {
		return err
	}
	defer g.Close()
	_, err = io.Copy(both, g)
	return errors.Join(err, z.Close())
}

// pour writes the image: in stretches of 4 MiB, random, compressible and empty by turns.
func pour(w io.Writer, size int64) error {
	random := rand.New(rand.NewSource(1))
	noise := make([]byte, 4*mib)
	text := []byte(strings.Repeat("a line of a file that compresses well, as most of a system does\n", 4*mib/64))
	empty := make([]byte, 4*mib)
	table := make([]byte, 16*mib)
	imagetest.GPT(table, 512, imagetest.Part{Type: image.TypeLinuxRoot, First: 2048, Last: 15 * 2048})
	if _, err := w.Write(table[:mib]); err != nil {
		return err
	}
	for at, n := int64(mib), 0; at < size; n++ {
		random.Read(noise)
		stretch := [][]byte{noise, text, empty}[n%3]
		stretch = stretch[:min(int64(len(stretch)), size-at)]
		if _, err := w.Write(stretch); err != nil {
			return err
		}
		at += int64(len(stretch))
	}
	return nil
}

func serve(dir string) (string, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() { s.Serve(l); close(ended) }()
	return "http://" + l.Addr().String(), func() { s.Close(); <-ended }, nil
}
