package metadata

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"ingot/internal/fault"
)

// cache keeps instances that were read, in memory only: they hold secrets. It is bounded by what they take there, the oldest go
// first; each goes when its time is over, or when its node's instance is of another generation.
type cache struct {
	life time.Duration // 0: nothing is kept
	most int           // bytes
	now  func() time.Time

	reading singleflight.Group // by node and generation
	places  chan struct{}      // holds one for each that is read: one of 16 MiB takes ten times that meanwhile

	mu    sync.Mutex
	size  int                      // guarded by mu
	nodes map[string]*list.Element // of *kept, by node; guarded by mu
	order *list.List               // the oldest first; guarded by mu
}

type kept struct {
	*Instance
	until time.Time
}

func newCache(life time.Duration, most int) *cache {
	return &cache{life: life, most: most, now: time.Now, places: make(chan struct{}, maxReads), nodes: map[string]*list.Element{}, order: list.New()}
}

// readLimit is how long reading an instance may take: several may wait for it, so it is nobody's own request that ends it.
const readLimit = 10 * time.Second

// maxReads are instances that are read at the same time; more wait. What is being read is in memory beside what is kept.
const maxReads = 8

// get gives the instance of a mark, by read if it is not there. Requests for the same wait for one read.
func (c *cache) get(ctx context.Context, m Mark, read func(context.Context) (*Instance, error)) (*Instance, error) {
	if i := c.find(m); i != nil {
		return i, nil
	}
	result := c.reading.DoChan(m.Node+" "+m.Generation, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
		defer cancel()
		select {
		case c.places <- struct{}{}:
			defer func() { <-c.places }()
		case <-ctx.Done():
			return nil, errBusy
		}
		i, err := read(ctx)
		if err == nil {
			c.put(i)
		}
		return i, err
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*Instance), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errBusy = fault.New(fault.Unavailable, "Too many instances are read just now; ask again.")

// find gives what is kept of a node, if it is of the mark's generation and not too old. What is older than the mark goes.
func (c *cache) find(m Mark) *Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.nodes[m.Node]
	if e == nil {
		return nil
	}
	k := e.Value.(*kept)
	if k.Generation != m.Generation || !c.now().Before(k.until) {
		c.drop(e)
		return nil
	}
	return k.Instance
}

func (c *cache) put(i *Instance) {
	if c.life <= 0 || i.Size > c.most {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.nodes[i.Node]; e != nil {
		c.drop(e)
	}
	now := c.now()
	for e := c.order.Front(); e != nil && (c.size+i.Size > c.most || !now.Before(e.Value.(*kept).until)); e = c.order.Front() {
		c.drop(e)
	}
	c.nodes[i.Node] = c.order.PushBack(&kept{i, now.Add(c.life)})
	c.size += i.Size
}

// sweep drops what is too old: what nobody asks for any more must not stay in memory.
func (c *cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for e := c.order.Front(); e != nil && !now.Before(e.Value.(*kept).until); e = c.order.Front() {
		c.drop(e)
	}
}

// drop is for who holds mu.
func (c *cache) drop(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.nodes, k.Node)
	c.size -= k.Size
}

// held is how many instances are kept, and their bytes.
func (c *cache) held() (instances, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nodes), c.size
}
