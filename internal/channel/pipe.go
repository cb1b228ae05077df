package channel

import "ingot/internal/fault"

// The bounds of what waits to be read at one end. What the server has to say must find room when the other end has filled it.
const (
	MaxBuffered = 1 << 20 // bytes, and of one message
	MaxMessages = 4096
	ControlRoom = 64 << 10
)

// Room judges whether a message fits behind what waits.
func Room(messages int, waiting, size int64) error {
	switch {
	case size > MaxBuffered:
		return tooLarge()
	case waiting+size > MaxBuffered || messages >= MaxMessages:
		return fault.New(fault.TooMany, "The other end has not read what waits for it: %d bytes and %d messages can wait. Try again when it has.", MaxBuffered, MaxMessages)
	}
	return nil
}

func tooLarge() error {
	return fault.New(fault.TooLarge, "A message has at most %d bytes: write it in parts.", MaxBuffered)
}

// pipe is what waits to be read at one end, in order. Whoever uses it holds its Channel's lock.
type pipe struct {
	waiting [][]byte
	size    int64
}

func (p *pipe) put(message []byte) error {
	if len(message) == 0 {
		return nil
	}
	if err := Room(len(p.waiting), p.size, int64(len(message))); err != nil {
		return err
	}
	p.force(message)
	return nil
}

func (p *pipe) force(message []byte) {
	p.waiting = append(p.waiting, message)
	p.size += int64(len(message))
}

// take gives the next message; nil: there is none.
func (p *pipe) take() []byte {
	if len(p.waiting) == 0 {
		return nil
	}
	m := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	p.size -= int64(len(m))
	return m
}
