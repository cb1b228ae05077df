package metal

import "context"

type fenceKey struct{}

// WithFence puts into ctx the check that a call on a machine's behalf is still ours to make. A driver asks Fence
// before each request it sends: a deadline alone is noticed by another goroutine, and after a freeze that may be
// too late.
func WithFence(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, fenceKey{}, check)
}

// Fence is nil while the call may be made, and where nothing was put into ctx.
func Fence(ctx context.Context) error {
	if check, ok := ctx.Value(fenceKey{}).(func() error); ok {
		return check()
	}
	return nil
}
