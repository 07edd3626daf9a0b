// Grafana's types as its JSON has them: an enumeration is one of its values.

import type * as ui from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as trend from '@grafana/schema/dist/esm/raw/composable/trend/panelcfg/x/TrendPanelCfg_types.gen';

type Json<T> = T extends string
  ? `${T}`
  : T extends readonly (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

// A data source adds fields of its own to a query.
type Query = Json<ui.DataQuery> & Record<string, unknown>;

type PanelOf<Type extends string, Options, Custom> = Omit<
  Json<ui.Panel>,
  'type' | 'options' | 'fieldConfig' | 'targets'
> & {
  type: Type;
  options?: Json<Partial<Options>>;
  fieldConfig?: {
    defaults: Json<Omit<ui.FieldConfig, 'custom'>> & { custom?: Json<Partial<Custom>> };
    overrides: Json<ui.FieldConfigSource['overrides']>;
  };
  targets?: Query[];
};

type Panel =
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | PanelOf<'trend', trend.Options, trend.FieldConfig>
  | PanelOf<'stat', stat.Options, Record<string, never>>
  | PanelOf<'table', table.Options, table.FieldConfig>;

// The last five are fields of Prometheus' own.
type Annotation = Omit<Json<ui.AnnotationQuery>, 'target'> & {
  target?: Query;
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
};

export type Board = Omit<Json<ui.Dashboard>, 'panels' | 'annotations'> & {
  panels: (Panel | (Omit<Json<ui.RowPanel>, 'panels'> & { panels: Panel[] }))[];
  annotations?: { list?: Annotation[] };
};
