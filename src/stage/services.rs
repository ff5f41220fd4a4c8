//! Services: their addresses where a network has no names, and waiting until they are ready.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, join3};
use tokio::time::{Instant, sleep, timeout};

use super::apply;
use super::ended::{ended, gone, helper_ended};
use crate::engine::{Engine, EngineError, ExecRunning, Health, LogsRequest};
use crate::joblog::JobLog;
use crate::outcome::Failure;
use crate::plan::script::{self, WaitFor};
use crate::plan::spec::{ExecSpec, NetworkUse};
use crate::plan::{JobPlan, Readiness, ServicePlan};
use crate::settings::JobSettings;

const LOG_LINES: u32 = 50;
/// How long beyond its own limit the waiting exec may take to answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Returns whether names of services must be written into /etc/hosts, since the network has no names.
pub fn need_addresses(plan: &JobPlan) -> bool {
    matches!(plan.build.network, NetworkUse::Mode(_)) && !plan.services.is_empty()
}

/// Returns the lines for /etc/hosts by which running services are found.
pub async fn host_lines<E: Engine>(engine: &E, plan: &JobPlan) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for service in &plan.services {
        let address = match &service.container.network {
            NetworkUse::Mode(mode) if mode == "host" => Some("127.0.0.1".to_owned()),
            _ => engine
                .container(&service.container.name)
                .await?
                .and_then(|state| state.addresses.into_values().next()),
        };
        if let Some(address) = address {
            lines.extend(service.aliases.iter().map(|alias| format!("{alias}:{address}")));
        }
    }
    Ok(lines)
}

/// Writes lines into the /etc/hosts of the helper, which runs already.
pub async fn tell_helper<E: Engine>(engine: &E, plan: &JobPlan, lines: &[String]) -> Result<(), Failure> {
    let mut exec = exec_in_helper(engine, plan, script::add_hosts(lines)).await?;
    while let Some(Ok(_)) = exec.output.next().await {}
    Ok(())
}

/// Starts the helper and waits until it has readied the volumes.
pub async fn start_helper<E: Engine>(engine: &E, plan: &JobPlan) -> Result<(), Failure> {
    let mut attached = engine.attach(&plan.helper.name).await?;
    apply::start(engine, &plan.helper).await?;
    let mut said = Vec::new();
    while let Some(chunk) = attached.output.next().await {
        said.extend_from_slice(&chunk?.bytes);
        if String::from_utf8_lossy(&said).lines().any(|line| line == script::READY_LINE) {
            return Ok(());
        }
    }
    Err(match engine.container(&plan.helper.name).await? {
        Some(state) if !state.running => ended(engine, "helper", &state, helper_ended).await,
        Some(_) => Failure::system("the helper container did not say that it was ready"),
        None => gone("helper"),
    })
}

async fn exec_in_helper<E: Engine>(
    engine: &E,
    plan: &JobPlan,
    command: Vec<String>,
) -> Result<ExecRunning, Failure> {
    let spec = ExecSpec { command, user: String::new(), env: Vec::new(), stdin: false };
    match engine.exec(&plan.helper.name, &spec).await {
        Ok(exec) => Ok(exec),
        Err(error @ EngineError::Conflict { .. }) => Err(match engine.container(&plan.helper.name).await? {
            Some(state) if !state.running => ended(engine, "helper", &state, helper_ended).await,
            Some(_) => error.into(),
            None => gone("helper"),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Waits until every service is ready. One that is not gets its last lines printed, and the job goes on.
pub async fn wait_until_ready<E: Engine>(
    engine: &E,
    plan: &JobPlan,
    settings: &JobSettings,
    log: &JobLog,
) -> Result<(), Failure> {
    let Some(limit) = settings.wait_for_services_timeout else { return Ok(()) };
    if plan.services.iter().any(|service| service.readiness != Readiness::Unknown) {
        log.line(format!("Waiting for services to be ready (at most {} s) ...", limit.as_secs()));
    }
    let (by_port, by_health, running) =
        join3(by_ports(engine, plan, limit), by_healthcheck(engine, plan, limit), running(engine, plan))
            .await;
    let fine: BTreeSet<usize> = by_port?.into_iter().chain(by_health).chain(running).collect();
    for (_, service) in plan.services.iter().enumerate().filter(|(index, _)| !fine.contains(index)) {
        complain(engine, service, limit, log).await;
    }
    Ok(())
}

/// There is nothing to wait for in a service that only runs; but it should.
async fn running<E: Engine>(engine: &E, plan: &JobPlan) -> Vec<usize> {
    let unknown =
        plan.services.iter().enumerate().filter(|(_, service)| service.readiness == Readiness::Unknown);
    let looks = unknown.map(|(index, service)| async move {
        let state = engine.container(&service.container.name).await.ok().flatten();
        state.is_some_and(|state| state.running).then_some(index)
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// Asks from inside the job's network, by one exec in the helper for all services.
async fn by_ports<E: Engine>(engine: &E, plan: &JobPlan, limit: Duration) -> Result<Vec<usize>, Failure> {
    let waits: Vec<WaitFor> = plan
        .services
        .iter()
        .enumerate()
        .filter_map(|(index, service)| {
            let Readiness::Ports(ports) = &service.readiness else { return None };
            let host = match &service.container.network {
                NetworkUse::Mode(mode) if mode == "host" => "127.0.0.1".to_owned(),
                NetworkUse::Mode(_) => service.aliases.first()?.clone(),
                NetworkUse::Joined { .. } => service.container.name.clone(),
            };
            Some(WaitFor { index, host, ports: ports.clone() })
        })
        .collect();
    if waits.is_empty() {
        return Ok(Vec::new());
    }
    let mut exec = exec_in_helper(engine, plan, script::wait(limit.as_secs(), &waits)).await?;
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(chunk)) = exec.output.next().await {
            text.extend_from_slice(&chunk.bytes);
        }
    };
    let _ = timeout(limit + ANSWER_MARGIN, read).await;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter_map(|line| line.strip_prefix("ready ")?.trim().parse().ok()).collect())
}

async fn by_healthcheck<E: Engine>(engine: &E, plan: &JobPlan, limit: Duration) -> Vec<usize> {
    let checks = plan
        .services
        .iter()
        .enumerate()
        .filter(|(_, service)| service.readiness == Readiness::Healthcheck)
        .map(|(index, service)| async move { is_healthy(engine, service, limit).await.then_some(index) });
    join_all(checks).await.into_iter().flatten().collect()
}

async fn is_healthy<E: Engine>(engine: &E, service: &ServicePlan, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(100);
    loop {
        match engine.container(&service.container.name).await {
            Ok(Some(state)) if state.health == Health::Healthy => return true,
            Ok(Some(state)) if state.health == Health::Unhealthy || !state.running => return false,
            Ok(None) | Err(_) => return false,
            Ok(Some(_)) if Instant::now() >= deadline => return false,
            Ok(Some(_)) => sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn complain<E: Engine>(engine: &E, service: &ServicePlan, limit: Duration, log: &JobLog) {
    let name = service.aliases.first().map_or(service.container.name.as_str(), String::as_str);
    let reason = match engine.container(&service.container.name).await {
        Ok(Some(state)) if !state.running => format!("it ended with exit code {}", state.exit_code),
        Ok(Some(state)) if state.health == Health::Unhealthy => "its HEALTHCHECK fails".to_owned(),
        Ok(Some(_)) => format!("it was not ready within {} s", limit.as_secs()),
        Ok(None) => "its container is gone".to_owned(),
        Err(error) => error.to_string(),
    };
    log.line("");
    log.warn(format!(
        "*** WARNING: service {name} probably did not start properly: {reason}. The job goes on."
    ));
    log.line("Its last log lines:");
    let request = LogsRequest { tail: Some(LOG_LINES), timestamps: true, ..LogsRequest::default() };
    if let Ok(mut output) = engine.logs(&service.container.name, &request).await {
        while let Some(Ok(chunk)) = output.next().await {
            log.write(&chunk.bytes);
        }
    }
    log.warn("***");
}
