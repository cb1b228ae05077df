package channel

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Address is where an installation finds its channel.
const Address = "169.254.169.254:80"

// The bounds of what serves one machine.
const (
	maxConnections = 16
	maxHeader      = 8 << 10
	headTime       = 5 * time.Second  // for the head of a request to come
	requestTime    = 30 * time.Second // for all of it
	answerTime     = 30 * time.Second // for an answer to go
	idleTime       = 30 * time.Second // of a connection between two requests
	closeTime      = 2 * time.Second  // for answers that are going when it ends
)

// Serve answers at a listener until ctx ends, and closes it. It is for the agent: in a confined network, and on the ramdisk's own.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		ErrorLog: log.New(io.Discard, "", 0), // what strangers do wrong is theirs
	}
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(&bounded{Listener: l, places: make(chan struct{}, maxConnections), closed: make(chan struct{})})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if s.Shutdown(ending) != nil {
		_ = s.Close() // it had its time
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bounded is a listener that has so many connections at a time; more wait.
type bounded struct {
	net.Listener
	places chan struct{} // holds one for each connection
	closed chan struct{}
	once   sync.Once
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &counted{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
