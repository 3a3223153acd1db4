/** What `robson/testing` exports: for the tests of workers and gateways, with any test runner. */
export { type AcpAgentOptions, acpAgent } from "../workflow/agents/acp/index.ts";
export type {
  AgentEvent,
  AgentOutcome,
  AgentRequest,
  AgentResult,
  AgentUsage,
  CodingAgent,
} from "../workflow/coding-agent.ts";
export { aDelivery, aMessage, aWorker, echoWorker } from "./builders.ts";
export { type FakeGateway, type FakeGatewayOptions, fakeGateway } from "./fake-gateway.ts";
export { startTestLoop, type TestLoop, type TestLoopOptions } from "./start-test-loop.ts";
export { type TestEnd, temporaryFolder } from "./temporary-folder.ts";
export { createTestClock, type TestClock } from "./test-clock.ts";
export {
  type AgentPlace,
  type AgentScene,
  type CodingAgentCheck,
  type CodingAgentSuite,
  codingAgentChecks,
  testCodingAgent,
} from "./test-coding-agent.ts";
export {
  type GatewayCheck,
  type GatewayPart,
  type GatewaySuite,
  gatewayChecks,
  type PlatformTrouble,
  type TestPlatform,
  testGateway,
} from "./test-gateway.ts";
export { type TestWorker, type TestWorkerOptions, testWorker, type WorkerEvent } from "./test-worker.ts";
