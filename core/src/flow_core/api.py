"""All that a plugin may import of flow-core, in one place. Nothing is imported before it is used.

The names are grouped as the documentation groups them; each is documented where it is defined.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.adoption import unfinished_attempts as unfinished_attempts
    from flow_core.alone import Earlier as Earlier
    from flow_core.alone import LoneAttempt as LoneAttempt
    from flow_core.alone import again as again
    from flow_core.alone import find_attempt as find_attempt
    from flow_core.alone import task_command as task_command
    from flow_core.artifacts import ArtifactStore as ArtifactStore
    from flow_core.binding import RunReader as RunReader
    from flow_core.binding import run_reader as run_reader
    from flow_core.blob_cache import open_cache as open_cache
    from flow_core.cli import Front as Front
    from flow_core.cli import log_size_option as log_size_option
    from flow_core.cli import main as main
    from flow_core.cli import run_id_file_option as run_id_file_option
    from flow_core.cli import take_log_size as take_log_size
    from flow_core.code_files import LeftOut as LeftOut
    from flow_core.config import Config as Config
    from flow_core.config import ConfigValue as ConfigValue
    from flow_core.context import current as current
    from flow_core.crossing import explain_unreadable as explain_unreadable
    from flow_core.definition import Decorated as Decorated
    from flow_core.definition import FlowDefinition as FlowDefinition
    from flow_core.definition import StepDefinition as StepDefinition
    from flow_core.deprecation import Deprecation as Deprecation
    from flow_core.deprecation import FlowDeprecation as FlowDeprecation
    from flow_core.deprecation import RemovedInFlow1 as RemovedInFlow1
    from flow_core.deprecation import RemovedInFlow2 as RemovedInFlow2
    from flow_core.deprecation import deprecated as deprecated
    from flow_core.deprecation import overdue as overdue
    from flow_core.environments import BuiltEnvironment as BuiltEnvironment
    from flow_core.environments import EnvironmentBuilder as EnvironmentBuilder
    from flow_core.environments import EnvironmentLock as EnvironmentLock
    from flow_core.environments import ReadyEnvironment as ReadyEnvironment
    from flow_core.environments import built_environments as built_environments
    from flow_core.environments import remove_environment as remove_environment
    from flow_core.environments import this_platform as this_platform
    from flow_core.errors import AccessDenied as AccessDenied
    from flow_core.errors import ArtifactError as ArtifactError
    from flow_core.errors import CommandFailed as CommandFailed
    from flow_core.errors import Declined as Declined
    from flow_core.errors import DefinitionError as DefinitionError
    from flow_core.errors import FlowError as FlowError
    from flow_core.errors import FormatError as FormatError
    from flow_core.errors import IncompatiblePlugin as IncompatiblePlugin
    from flow_core.errors import IntegrityError as IntegrityError
    from flow_core.errors import LintError as LintError
    from flow_core.errors import MergeError as MergeError
    from flow_core.errors import NoEnvironment as NoEnvironment
    from flow_core.errors import NotFound as NotFound
    from flow_core.errors import ParameterError as ParameterError
    from flow_core.errors import PluginError as PluginError
    from flow_core.errors import PluginWarning as PluginWarning
    from flow_core.errors import RunFailed as RunFailed
    from flow_core.errors import SettingsError as SettingsError
    from flow_core.errors import StateError as StateError
    from flow_core.errors import StoreError as StoreError
    from flow_core.errors import TransitionError as TransitionError
    from flow_core.errors import UsageError as UsageError
    from flow_core.errors import did_you_mean as did_you_mean
    from flow_core.errors import near_misses as near_misses
    from flow_core.exports import own_names as own_names
    from flow_core.finding import RUN_STATES as RUN_STATES
    from flow_core.finding import RunQuery as RunQuery
    from flow_core.finding import check_states as check_states
    from flow_core.finding import find_runs as find_runs
    from flow_core.finding import launcher_is_gone as launcher_is_gone
    from flow_core.finding import seconds_of as seconds_of
    from flow_core.finding import seems_lost as seems_lost
    from flow_core.finding import seen_state as seen_state
    from flow_core.finding import texts_of_word as texts_of_word
    from flow_core.finding import time_of as time_of
    from flow_core.finding import value_texts as value_texts
    from flow_core.fingerprint import CodeReader as CodeReader
    from flow_core.fingerprint import Files as Files
    from flow_core.fingerprint import Fingerprint as Fingerprint
    from flow_core.fingerprint import Part as Part
    from flow_core.fingerprint import changed_code as changed_code
    from flow_core.fingerprint import code_changes as code_changes
    from flow_core.fingerprint import plain_value as plain_value
    from flow_core.flowfile import load_flow as load_flow
    from flow_core.flowspec import FlowSpec as FlowSpec
    from flow_core.frames import compress_frames as compress_frames
    from flow_core.fsspec_store import FsspecStore as FsspecStore
    from flow_core.graph import Graph as Graph
    from flow_core.graph import Node as Node
    from flow_core.graph import Problem as Problem
    from flow_core.hook_calls import HookInfo as HookInfo
    from flow_core.hook_order import Place as Place
    from flow_core.hookspecs import hookimpl as hookimpl
    from flow_core.hookspecs import hookspec as hookspec
    from flow_core.index import GROUPS as GROUPS
    from flow_core.index import EntryPoint as EntryPoint
    from flow_core.index import PluginIndex as PluginIndex
    from flow_core.index import core_requirement as core_requirement
    from flow_core.index import distributions as distributions
    from flow_core.index import installed as installed
    from flow_core.index import satisfies as satisfies
    from flow_core.interfaces import REFRESH_AGE as REFRESH_AGE
    from flow_core.interfaces import AdoptingCompute as AdoptingCompute
    from flow_core.interfaces import Attributes as Attributes
    from flow_core.interfaces import Begun as Begun
    from flow_core.interfaces import Bootstrap as Bootstrap
    from flow_core.interfaces import Buffer as Buffer
    from flow_core.interfaces import Command as Command
    from flow_core.interfaces import CommandContext as CommandContext
    from flow_core.interfaces import Compute as Compute
    from flow_core.interfaces import ComputeCapabilities as ComputeCapabilities
    from flow_core.interfaces import Diagnosis as Diagnosis
    from flow_core.interfaces import Environment as Environment
    from flow_core.interfaces import EnvironmentCapabilities as EnvironmentCapabilities
    from flow_core.interfaces import EnvironmentRequest as EnvironmentRequest
    from flow_core.interfaces import EnvironmentWithOrigins as EnvironmentWithOrigins
    from flow_core.interfaces import EnvironmentWork as EnvironmentWork
    from flow_core.interfaces import Exited as Exited
    from flow_core.interfaces import ExportingEnvironment as ExportingEnvironment
    from flow_core.interfaces import GangCompute as GangCompute
    from flow_core.interfaces import Interpreter as Interpreter
    from flow_core.interfaces import Metadata as Metadata
    from flow_core.interfaces import ObjectInfo as ObjectInfo
    from flow_core.interfaces import Output as Output
    from flow_core.interfaces import PackageMirror as PackageMirror
    from flow_core.interfaces import Parser as Parser
    from flow_core.interfaces import Runtime as Runtime
    from flow_core.interfaces import Serializer as Serializer
    from flow_core.interfaces import Started as Started
    from flow_core.interfaces import Store as Store
    from flow_core.interfaces import StoreCapabilities as StoreCapabilities
    from flow_core.interfaces import StoredObject as StoredObject
    from flow_core.interfaces import TaskCommand as TaskCommand
    from flow_core.interfaces import Update as Update
    from flow_core.interfaces import Waiting as Waiting
    from flow_core.launch import launch_document as launch_document
    from flow_core.launch import python_command as python_command
    from flow_core.launch import rebuild_runtime as rebuild_runtime
    from flow_core.launch import tell_begin as tell_begin
    from flow_core.library import resume_flow as resume_flow
    from flow_core.library import run_flow as run_flow
    from flow_core.lint import lint as lint
    from flow_core.live_logs import LogRecord as LogRecord
    from flow_core.live_logs import decode_piece as decode_piece
    from flow_core.live_logs import encode_piece as encode_piece
    from flow_core.live_logs import piece_key as piece_key
    from flow_core.live_logs import pieces_prefix as pieces_prefix
    from flow_core.logs import AttemptLogs as AttemptLogs
    from flow_core.logs import Times as Times
    from flow_core.logs import encode_times as encode_times
    from flow_core.logs import home_of_logs as home_of_logs
    from flow_core.logs import joined_logs as joined_logs
    from flow_core.logs import read_times as read_times
    from flow_core.logs import time_of_byte as time_of_byte
    from flow_core.logs import times_key as times_key
    from flow_core.manifests import ManifestReader as ManifestReader
    from flow_core.manifests import list_manifests as list_manifests
    from flow_core.manifests import unpack_manifests as unpack_manifests
    from flow_core.options import Attached as Attached
    from flow_core.options import Decorator as Decorator
    from flow_core.options import FlowDecorator as FlowDecorator
    from flow_core.options import OptionInfo as OptionInfo
    from flow_core.options import Options as Options
    from flow_core.options import StepDecorator as StepDecorator
    from flow_core.options import describe_options as describe_options
    from flow_core.options import option as option
    from flow_core.overlay import OverlayStore as OverlayStore
    from flow_core.package import CodeFile as CodeFile
    from flow_core.package import code_folder as code_folder
    from flow_core.package import path_anywhere as path_anywhere
    from flow_core.package import read_code as read_code
    from flow_core.package import write_code as write_code
    from flow_core.parameters import IncludeFile as IncludeFile
    from flow_core.parameters import JSONType as JSONType
    from flow_core.parameters import Parameter as Parameter
    from flow_core.parameters import ParameterContext as ParameterContext
    from flow_core.parsers import load_parser as load_parser
    from flow_core.pickling import PickleSerializer as PickleSerializer
    from flow_core.plan import LOCAL as LOCAL
    from flow_core.plan import Decision as Decision
    from flow_core.plan import Fallback as Fallback
    from flow_core.plan import GiveUp as GiveUp
    from flow_core.plan import PlanDraft as PlanDraft
    from flow_core.plan import RetryAfter as RetryAfter
    from flow_core.plan import RetryPolicy as RetryPolicy
    from flow_core.plan import TaskPlan as TaskPlan
    from flow_core.plugins import Plugins as Plugins
    from flow_core.records import CAUSES as CAUSES
    from flow_core.records import FORMAT as FORMAT
    from flow_core.records import OK_STATES as OK_STATES
    from flow_core.records import ArtifactRef as ArtifactRef
    from flow_core.records import AttemptRecord as AttemptRecord
    from flow_core.records import AttemptState as AttemptState
    from flow_core.records import EnvironmentProgress as EnvironmentProgress
    from flow_core.records import Event as Event
    from flow_core.records import Failure as Failure
    from flow_core.records import ForeachFrame as ForeachFrame
    from flow_core.records import GangMember as GangMember
    from flow_core.records import InputRange as InputRange
    from flow_core.records import InputRef as InputRef
    from flow_core.records import Manifest as Manifest
    from flow_core.records import Message as Message
    from flow_core.records import RunDocument as RunDocument
    from flow_core.records import RunFinished as RunFinished
    from flow_core.records import RunRecord as RunRecord
    from flow_core.records import RunResult as RunResult
    from flow_core.records import RunStarted as RunStarted
    from flow_core.records import RunState as RunState
    from flow_core.records import StepSummary as StepSummary
    from flow_core.records import TagRevision as TagRevision
    from flow_core.records import TaskFinished as TaskFinished
    from flow_core.records import TaskOutput as TaskOutput
    from flow_core.records import TaskQueued as TaskQueued
    from flow_core.records import TaskSpec as TaskSpec
    from flow_core.records import TaskStarted as TaskStarted
    from flow_core.records import Trace as Trace
    from flow_core.records import Transition as Transition
    from flow_core.records import advance_attempt as advance_attempt
    from flow_core.records import advance_run as advance_run
    from flow_core.records import attempt_prefix as attempt_prefix
    from flow_core.records import blob_key as blob_key
    from flow_core.records import files_prefix as files_prefix
    from flow_core.records import heartbeat_key as heartbeat_key
    from flow_core.records import manifest_key as manifest_key
    from flow_core.records import numbers_prefix as numbers_prefix
    from flow_core.records import pack_inputs as pack_inputs
    from flow_core.records import result_key as result_key
    from flow_core.records import run_key as run_key
    from flow_core.records import run_prefix as run_prefix
    from flow_core.records import tag_marks_prefix as tag_marks_prefix
    from flow_core.records import tags_prefix as tags_prefix
    from flow_core.records import unpack_inputs as unpack_inputs
    from flow_core.remote_task import TaskOrder as TaskOrder
    from flow_core.remote_task import describe_task as describe_task
    from flow_core.remote_task import open_task_session as open_task_session
    from flow_core.remote_task import open_task_store as open_task_store
    from flow_core.remote_task import task_spec_key as task_spec_key
    from flow_core.remote_task import task_url as task_url
    from flow_core.reuse import Facts as Facts
    from flow_core.reuse import ReuseDraft as ReuseDraft
    from flow_core.reuse import explain as explain
    from flow_core.reuse import rebase as rebase
    from flow_core.run import RunDraft as RunDraft
    from flow_core.run import RunOption as RunOption
    from flow_core.run import RunRequest as RunRequest
    from flow_core.run import adopt_parameters as adopt_parameters
    from flow_core.run import command_line as command_line
    from flow_core.run import draft_run as draft_run
    from flow_core.run import index_lacks as index_lacks
    from flow_core.run import unknown_run as unknown_run
    from flow_core.secret_sources import SecretSource as SecretSource
    from flow_core.secret_sources import SecretsProvider as SecretsProvider
    from flow_core.session import Session as Session
    from flow_core.settings import OWN_INDEX as OWN_INDEX
    from flow_core.settings import Setting as Setting
    from flow_core.settings import Settings as Settings
    from flow_core.settings import state_folder as state_folder
    from flow_core.settings import take_settings as take_settings
    from flow_core.snapshots import CurrentCode as CurrentCode
    from flow_core.snapshots import KeptCode as KeptCode
    from flow_core.snapshots import current_code as current_code
    from flow_core.snapshots import keep_code as keep_code
    from flow_core.step_environments import StepEnvironments as StepEnvironments
    from flow_core.step_environments import build_environment as build_environment
    from flow_core.step_environments import read_lock as read_lock
    from flow_core.store_index import Followed as Followed
    from flow_core.store_index import StoreIndex as StoreIndex
    from flow_core.store_index import open_store_index as open_store_index
    from flow_core.store_rules import changed_meanwhile as changed_meanwhile
    from flow_core.store_rules import check_attributes as check_attributes
    from flow_core.store_rules import check_key as check_key
    from flow_core.store_rules import check_prefix as check_prefix
    from flow_core.store_rules import check_range as check_range
    from flow_core.store_rules import refused_key as refused_key
    from flow_core.tags import change_tags as change_tags
    from flow_core.tags import check_tags as check_tags
    from flow_core.tags import stored_tags as stored_tags
    from flow_core.task import TaskContext as TaskContext
    from flow_core.text import duration as duration
    from flow_core.text import harmless as harmless
    from flow_core.together import together as together
    from flow_core.travel import Compiled as Compiled
    from flow_core.travel import Luggage as Luggage
    from flow_core.travel import Requirement as Requirement
    from flow_core.travel import core_requirements as core_requirements
    from flow_core.travel import find_compiled as find_compiled
    from flow_core.usage import usage_error as usage_error

_HOME = {
    "adoption": "unfinished_attempts",
    "alone": "Earlier LoneAttempt again find_attempt task_command",
    "artifacts": "ArtifactStore",
    "binding": "RunReader run_reader",
    "blob_cache": "open_cache",
    "cli": "Front log_size_option main run_id_file_option take_log_size",
    "pickling": "PickleSerializer",
    "config": "Config ConfigValue",
    "context": "current",
    "crossing": "explain_unreadable",
    "deprecation": "Deprecation FlowDeprecation RemovedInFlow1 RemovedInFlow2 deprecated overdue",
    "environments": "BuiltEnvironment EnvironmentBuilder EnvironmentLock ReadyEnvironment"
    " built_environments remove_environment this_platform",
    "errors": "AccessDenied ArtifactError CommandFailed Declined DefinitionError FlowError FormatError IncompatiblePlugin IntegrityError LintError MergeError"
    " NoEnvironment NotFound ParameterError PluginError PluginWarning RunFailed SettingsError StateError StoreError"
    " TransitionError UsageError did_you_mean near_misses",
    "exports": "own_names",
    "finding": "RUN_STATES RunQuery check_states find_runs launcher_is_gone seconds_of seems_lost"
    " seen_state texts_of_word time_of value_texts",
    "flowspec": "FlowSpec",
    "fsspec_store": "FsspecStore",
    "graph": "Graph Node Problem",
    "hook_calls": "HookInfo",
    "hook_order": "Place",
    "hookspecs": "hookimpl hookspec",
    "index": "EntryPoint GROUPS PluginIndex core_requirement distributions installed satisfies",
    "interfaces": "AdoptingCompute Attributes REFRESH_AGE Begun Bootstrap Buffer Command CommandContext Compute ComputeCapabilities Diagnosis Environment"
    " EnvironmentCapabilities EnvironmentRequest EnvironmentWithOrigins EnvironmentWork Exited ExportingEnvironment GangCompute Interpreter Metadata ObjectInfo"
    " Output PackageMirror Parser Runtime Serializer Started Store StoreCapabilities StoredObject"
    " TaskCommand Update Waiting",
    "library": "resume_flow run_flow",
    "lint": "lint",
    "logs": "AttemptLogs Times encode_times home_of_logs joined_logs read_times time_of_byte times_key",
    "manifests": "ManifestReader list_manifests unpack_manifests",
    "options": "Attached Decorator FlowDecorator OptionInfo Options StepDecorator describe_options"
    " option",
    "overlay": "OverlayStore",
    "code_files": "LeftOut",
    "package": "CodeFile code_folder path_anywhere read_code write_code",
    "parameters": "IncludeFile JSONType Parameter ParameterContext",
    "parsers": "load_parser",
    "plan": "LOCAL Decision Fallback GiveUp PlanDraft RetryAfter RetryPolicy TaskPlan",
    "plugins": "Plugins",
    "records": "CAUSES FORMAT OK_STATES ArtifactRef AttemptRecord AttemptState EnvironmentProgress Event Failure ForeachFrame"
    " GangMember InputRange InputRef Manifest Message RunDocument RunFinished RunRecord RunResult RunStarted"
    " RunState StepSummary TagRevision TaskFinished TaskOutput TaskQueued TaskSpec TaskStarted Trace Transition"
    " advance_attempt"
    " advance_run attempt_prefix blob_key files_prefix heartbeat_key manifest_key numbers_prefix pack_inputs result_key run_key run_prefix"
    " tag_marks_prefix tags_prefix unpack_inputs",
    "definition": "Decorated FlowDefinition StepDefinition",
    "fingerprint": "CodeReader Files Fingerprint Part changed_code code_changes plain_value",
    "flowfile": "load_flow",
    "frames": "compress_frames",
    "reuse": "Facts ReuseDraft explain rebase",
    "run": "RunDraft RunOption RunRequest adopt_parameters command_line draft_run index_lacks"
    " unknown_run",
    "secret_sources": "SecretSource SecretsProvider",
    "session": "Session",
    "settings": "OWN_INDEX Setting Settings state_folder take_settings",
    "snapshots": "CurrentCode KeptCode current_code keep_code",
    "step_environments": "StepEnvironments build_environment read_lock",
    "store_index": "Followed StoreIndex open_store_index",
    "live_logs": "LogRecord decode_piece encode_piece piece_key pieces_prefix",
    "remote_task": "TaskOrder describe_task open_task_session open_task_store task_spec_key task_url",
    "launch": "launch_document python_command rebuild_runtime tell_begin",
    "store_rules": "changed_meanwhile check_attributes check_key check_prefix check_range refused_key",
    "tags": "change_tags check_tags stored_tags",
    "task": "TaskContext",
    "text": "duration harmless",
    "together": "together",
    "travel": "Compiled Luggage Requirement core_requirements find_compiled",
    "usage": "usage_error",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - computed, so that each name is written once


if not TYPE_CHECKING:  # which knows the names from above, and that there are no others

    def __getattr__(name: str) -> Any:
        try:
            module = _MODULE_OF[name]
        except KeyError:
            raise AttributeError(f"module 'flow_core.api' has no attribute '{name}'") from None
        value = getattr(importlib.import_module(f"flow_core.{module}"), name)
        globals()[name] = value
        return value
