// Package credentials stands in for that of Exoscale's client.
package credentials

// Credentials are none.
type Credentials struct{}

// NewStaticCredentials forgets both.
func NewStaticCredentials(_, _ string) *Credentials { return &Credentials{} }
