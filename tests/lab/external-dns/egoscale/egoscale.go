// Package v3 stands in for the client of a cloud, Exoscale: the names that external-dns refers to. Every call fails.
package v3

import (
	"context"
	"errors"

	"github.com/exoscale/egoscale/v3/credentials"
)

var errStub = errors.New("this build has no Exoscale client")

type (
	// UUID names an object.
	UUID string
	// Endpoint is a URL.
	Endpoint string
	// CreateDNSDomainRecordRequestType is a record type.
	CreateDNSDomainRecordRequestType string
	// DNSDomainRecordType is a record type.
	DNSDomainRecordType string
	// OperationState is how an operation is.
	OperationState string
	// Operation is what runs at the server.
	Operation struct{}
	// Client talks to the cloud.
	Client struct{}
	// ClientOpt is an option of a client.
	ClientOpt func(*Client) error
)

// OperationStateSuccess is the good end.
const OperationStateSuccess OperationState = "success"

// DNSDomain is a zone.
type DNSDomain struct {
	ID          UUID
	UnicodeName string
}

// DNSDomainRecord is a record of a zone.
type DNSDomainRecord struct {
	ID      UUID
	Name    string
	Content string
	Type    DNSDomainRecordType
	Ttl     int64
}

// ListDNSDomainsResponse is a list of zones.
type ListDNSDomainsResponse struct{ DNSDomains []DNSDomain }

// ListDNSDomainRecordsResponse is a list of records.
type ListDNSDomainRecordsResponse struct{ DNSDomainRecords []DNSDomainRecord }

// CreateDNSDomainRecordRequest asks for a record.
type CreateDNSDomainRecordRequest struct {
	Name    string
	Type    CreateDNSDomainRecordRequestType
	Content string
	Ttl     int64
}

// UpdateDNSDomainRecordRequest asks for another content.
type UpdateDNSDomainRecordRequest struct {
	Name    string
	Content string
	Ttl     int64
}

// NewClient gives a client that can nothing.
func NewClient(_ *credentials.Credentials, _ ...ClientOpt) (*Client, error) { return &Client{}, nil }

// ClientOptWithEndpoint is ignored.
func ClientOptWithEndpoint(_ Endpoint) ClientOpt { return func(*Client) error { return nil } }

// Wait fails.
func (*Client) Wait(context.Context, *Operation, ...OperationState) (*Operation, error) {
	return nil, errStub
}

// ListDNSDomains fails.
func (*Client) ListDNSDomains(context.Context) (*ListDNSDomainsResponse, error) { return nil, errStub }

// ListDNSDomainRecords fails.
func (*Client) ListDNSDomainRecords(context.Context, UUID) (*ListDNSDomainRecordsResponse, error) {
	return nil, errStub
}

// CreateDNSDomainRecord fails.
func (*Client) CreateDNSDomainRecord(context.Context, UUID, CreateDNSDomainRecordRequest) (*Operation, error) {
	return nil, errStub
}

// DeleteDNSDomainRecord fails.
func (*Client) DeleteDNSDomainRecord(context.Context, UUID, UUID) (*Operation, error) {
	return nil, errStub
}

// UpdateDNSDomainRecord fails.
func (*Client) UpdateDNSDomainRecord(context.Context, UUID, UUID, UpdateDNSDomainRecordRequest) (*Operation, error) {
	return nil, errStub
}
