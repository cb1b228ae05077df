package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is everything this process counts. The zero value does not work; New makes one.
type Metrics struct {
	registry *prometheus.Registry

	requests   *prometheus.HistogramVec // route, method, status
	heartbeats *prometheus.CounterVec   // result
	steps      *prometheus.HistogramVec // plan, step, outcome
	netboot    *prometheus.CounterVec   // service, outcome
	metadata   *prometheus.HistogramVec // asked, status
	claims     prometheus.Counter
	takeovers  prometheus.Counter
	fenced     prometheus.Counter
	polls      *prometheus.CounterVec // outcome
	pollLag    prometheus.Histogram
	bmc        *prometheus.HistogramVec // driver, call, result
	txs        *prometheus.HistogramVec // kind, result
	vendordata *prometheus.HistogramVec // target, outcome
}

// latency is for what should take milliseconds, work for what takes seconds to hours.
var (
	latency = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	work    = []float64{.01, .1, .5, 1, 5, 15, 60, 300, 900, 1800, 3600, 4 * 3600, 24 * 3600}
)

// Count is one number that is read from the database when somebody asks.
type Count struct {
	Labels []string // values, in the order of the gauge's labels
	N      int
}

// Gauges are the numbers that many servers share, and so are asked of the database and not counted here.
type Gauges struct {
	// Operations counts the live ones by plan and by "held", "due" or "waiting".
	Operations func(context.Context) ([]Count, error)
	// Nodes counts nodes by provision state and by "true" or "false" for maintenance.
	Nodes func(context.Context) ([]Count, error)
	// Slots counts, by kind of slot, the operations that hold one ("held"), those "in line", and what the "limit" is.
	Slots func(context.Context) ([]Count, error)
	// Conductors counts conductors by "true" or "false" for alive.
	Conductors func(context.Context) ([]Count, error)
}

// New makes the metrics of a process.
func New(version string, g Gauges, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		requests:   histogram("ingot_api_request_seconds", "Requests answered, by route template.", latency, "route", "method", "status"),
		netboot:    counters("ingot_netboot_requests_total", "Packets and requests of machines that boot from the network, by what became of them.", "service", "outcome"),
		metadata:   histogram("ingot_metadata_request_seconds", "Requests of instances for their metadata, by what they asked for: root, page, vendor_data2, password.", latency, "asked", "status"),
		heartbeats: counters("ingot_agent_heartbeats_total", "Heartbeats of agents.", "result"),
		polls:      counters("ingot_agent_polls_total", "Agents asked that are only polled, by what came of it: met, answered, running, unreachable, refused.", "outcome"),
		pollLag:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ingot_agent_poll_lag_seconds", Help: "How late an agent was asked after it was due.", Buckets: latency}),
		steps:      histogram("ingot_step_seconds", "Runs of steps, by how they came out: done, again, wait, failed, stopped.", work, "plan", "step", "outcome"),
		claims:     counter("ingot_operation_claims_total", "Operations this conductor has claimed."),
		takeovers:  counter("ingot_operation_takeovers_total", "Claims of operations whose holder had stopped answering."),
		fenced:     counter("ingot_operation_fenced_total", "Writes refused because another holder has the operation."),
		bmc:        histogram("ingot_bmc_call_seconds", "Calls of BMCs, by kind of failure.", latency, "driver", "call", "result"),
		vendordata: histogram("ingot_vendordata_target_seconds", "Answers of vendordata targets: asked, unchanged, kept (nobody was asked), stale, or how the target failed.", latency, "target", "outcome"),
		txs:        histogram("ingot_store_transaction_seconds", "Transactions of the store.", latency, "kind", "result"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ingot_build_info", Help: "The version that runs."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.requests, m.heartbeats, m.netboot, m.metadata, m.steps, m.claims, m.takeovers, m.fenced, m.polls, m.pollLag, m.bmc, m.txs, m.vendordata, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&asked{log: log, gauges: []gauge{
			{desc("ingot_operations_live", "Live operations.", "plan", "state"), g.Operations},
			{desc("ingot_nodes", "Nodes.", "provision_state", "maintenance"), g.Nodes},
			{desc("ingot_slots", "Operations that hold a slot or stand in line for one, and how many may hold one, by kind of slot.", "slot", "state"), g.Slots},
			{desc("ingot_conductors", "Conductors that share the database.", "alive"), g.Conductors},
		}})
	return m
}

// Handler answers with all of it in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Text is what Handler answers.
func (m *Metrics) Text() ([]byte, error) {
	p := page{head: http.Header{}}
	m.Handler().ServeHTTP(&p, &http.Request{Method: http.MethodGet, Header: http.Header{}})
	if p.status >= 400 {
		return nil, fmt.Errorf("collect the metrics: %s", p.body.String())
	}
	return p.body.Bytes(), nil
}

// page keeps an answer.
type page struct {
	head   http.Header
	body   bytes.Buffer
	status int
}

func (p *page) Header() http.Header         { return p.head }
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
func (p *page) WriteHeader(status int)      { p.status = status }

// Request counts an answered request. route is a template of the table, "" for what no route took.
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	switch method { // a stranger may send any word
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
	if route == "/v1/heartbeat/{node}" {
		m.heartbeats.WithLabelValues(result(status < 400)).Inc()
	}
}

// Step counts one run of a step. Composed steps ("clean step 3: raid.create") are named by callers and agents, and so
// are counted by their kind: every new name would stay in memory as long as the process.
func (m *Metrics) Step(plan, step, outcome string, took time.Duration) {
	step = composed.ReplaceAllString(step, "$1")
	m.steps.WithLabelValues(plan, step, outcome).Observe(took.Seconds())
}

var composed = regexp.MustCompile(`(?s)^([a-z]+ step) [0-9]+: .*$`)

// Claimed counts a claim, Fenced a write that was refused.
func (m *Metrics) Claimed(takenOver bool) {
	m.claims.Inc()
	if takenOver {
		m.takeovers.Inc()
	}
}

// Fenced counts a write that was refused because the lease was lost.
func (m *Metrics) Fenced() { m.fenced.Inc() }

// Polled counts one agent that was asked, late after it was due.
func (m *Metrics) Polled(outcome string, late time.Duration) {
	m.polls.WithLabelValues(outcome).Inc()
	m.pollLag.Observe(late.Seconds())
}

// BMC counts one call of a BMC; result is "ok" or a kind of fault.
func (m *Metrics) BMC(driver, call, result string, took time.Duration) {
	m.bmc.WithLabelValues(driver, call, result).Observe(took.Seconds())
}

// Vendordata counts an answer of a vendordata target. Targets are named by the configuration, which bounds them.
func (m *Metrics) Vendordata(target, outcome string, took time.Duration) {
	m.vendordata.WithLabelValues(target, outcome).Observe(took.Seconds())
}

// Netboot counts one packet or request of the boot services; both words are of a few.
func (m *Metrics) Netboot(service, outcome string) { m.netboot.WithLabelValues(service, outcome).Inc() }

// Metadata counts a request of an instance for its metadata, or of somebody who is none.
func (m *Metrics) Metadata(asked string, status int, took time.Duration) {
	m.metadata.WithLabelValues(asked, strconv.Itoa(status)).Observe(took.Seconds())
}

// Transaction counts one of the store's; kind is "read" or "write".
func (m *Metrics) Transaction(kind string, took time.Duration, err error) {
	m.txs.WithLabelValues(kind, result(err == nil)).Observe(took.Seconds())
}

func result(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// askLimit is how long the database may take: a scrape waits no longer than ten seconds by default.
const askLimit = 5 * time.Second

type gauge struct {
	desc *prometheus.Desc
	ask  func(context.Context) ([]Count, error)
}

// asked are the gauges of the database, read when somebody looks.
type asked struct {
	log    *slog.Logger
	gauges []gauge
}

// Describe is prometheus.Collector's.
func (a *asked) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range a.gauges {
		ch <- g.desc
	}
}

// Collect is prometheus.Collector's. A database that does not answer leaves its gauges out: the rest is worth
// having then.
func (a *asked) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	for _, g := range a.gauges {
		if g.ask == nil {
			continue
		}
		counts, err := g.ask(ctx)
		if err != nil {
			a.log.Warn("a metric cannot be read from the database", "metric", g.desc.String(), "error", err)
			continue
		}
		for _, c := range counts {
			ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(c.N), c.Labels...)
		}
	}
}
